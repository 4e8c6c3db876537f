import {display} from '../common/options';
import type {FileMap, FileSource, SourceFile} from './source';
import {checkSourcePath} from './source_path';

/** What a source may be, in messages. */
export const SOURCES =
  'a source is the path of a folder, an http(s) URL, a FileSystemDirectoryHandle or files by name';

/** The files of a map; they are read at each call and never copied as a whole. */
export function mapSource(owner: string, files: FileMap): FileSource {
  if (typeof files !== 'object' || files === null || Array.isArray(files)) {
    throw new Error(`${owner}: ${SOURCES}; got ${display(files)}`);
  }
  const byName = files instanceof Map ? files : new Map(Object.entries(files));
  return {
    name: 'the files given',
    async open(path) {
      checkSourcePath(owner, path);
      const contents: unknown = byName.get(path);
      if (contents === undefined) return null;
      if (contents instanceof Uint8Array) return bytesFile(path, contents);
      if (contents instanceof Blob) return blobFile(path, contents);
      throw new Error(
        `${owner}: the file '${path}' must be a Uint8Array or a Blob; got ${display(contents)}`,
      );
    },
  };
}

function bytesFile(path: string, bytes: Uint8Array): SourceFile {
  return {
    path,
    size: bytes.length,
    read: async (from, to) => bytes.subarray(from, to),
    close: async () => undefined,
  };
}

function blobFile(path: string, blob: Blob): SourceFile {
  return {
    path,
    size: blob.size,
    read: async (from, to) => new Uint8Array(await blob.slice(from, to).arrayBuffer()),
    close: async () => undefined,
  };
}
