import {display} from '../../common/options';
import {fileOfUrl, isUrl, splitFileUrl} from '../../files/file_url';
import {changedFile, openFileAt} from '../../files/folder_source';
import {openSource} from '../../files/open_source';
import type {SourceFile} from '../../files/source';

/** A file of examples: its path (Node only), its http(s) URL, or the file itself. */
export type DataSource = string | Uint8Array | Blob;

/** What messages call it. */
export function nameOf(source: DataSource): string {
  if (typeof source === 'string') return source;
  // `File`, which Node 20 has as a global, extends `Blob`
  const name = (source as {name?: unknown} | undefined)?.name;
  return typeof name === 'string' ? name : 'the data';
}

/** The name of its file, without folders; that of messages if it has none. */
export function fileNameOf(source: DataSource): string {
  const name = nameOf(source);
  return (isUrl(name) ? fileOfUrl(name) : name).split(/[\\/]/).at(-1)!;
}

/**
 * Opens it; the caller closes it.
 *
 * @throws if there is no such file.
 */
export async function openDataFile(owner: string, source: DataSource): Promise<SourceFile> {
  const file = await openIn(owner, source);
  if (file) return file;
  throw new Error(`${owner}: there is no file '${nameOf(source)}'`);
}

async function openIn(owner: string, source: DataSource): Promise<SourceFile | null> {
  if (source instanceof Uint8Array || source instanceof Blob) {
    return openSource(owner, {data: source}).open('data');
  }
  if (typeof source !== 'string' || source === '') {
    throw new Error(
      `${owner}: data is the path of a file, an http(s) URL, a Uint8Array or a Blob; ` +
        `got ${display(source)}`,
    );
  }
  if (isUrl(source)) {
    const {folder, file} = splitFileUrl(owner, source);
    return openSource(owner, folder).open(file);
  }
  return openedPerRead(owner, source, () => openFileAt(owner, source));
}

/**
 * A file that is open only while it is read, because a pass over the data may be abandoned at any time
 * without notice.
 */
async function openedPerRead(
  owner: string,
  name: string,
  open: () => Promise<SourceFile | null>,
): Promise<SourceFile | null> {
  const file = await open();
  if (!file) return null;
  await file.close();
  const {path, size, version} = file;
  return {
    path,
    size,
    async read(from, to) {
      const again = await open();
      try {
        if (!again || again.version !== version) throw changedFile(owner, name, size, again);
        return await again.read(from, to);
      } finally {
        await again?.close();
      }
    },
    close: async () => undefined,
  };
}

/** Bytes read at a time. */
const CHUNK_BYTES = 2 ** 20;

/**
 * A file's bytes in order, some at a time.
 *
 * @param onRead Called with the bytes that were read and those of the file when more are asked for: not where it is read at once.
 */
export async function* chunksOf(
  file: SourceFile,
  onRead?: (bytes: number, size: number) => void,
): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < file.size; from += CHUNK_BYTES) {
    if (from > 0) onRead?.(from, file.size);
    yield await file.read(from, Math.min(from + CHUNK_BYTES, file.size));
  }
}
