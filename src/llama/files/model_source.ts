/** Where the files of a model are: as anywhere else, or all of them in one GGUF file. */
import {isDirectoryHandle, type DirectoryHandle} from '../../files/directory_handle';
import {isFolderPath, isUrl, splitFileUrl} from '../../files/file_url';
import {openFileAt} from '../../files/folder_source';
import type {FileMap} from '../../files/source';
import {openSource} from '../../files/open_source';
import type {FileSource, ModelSource, RequestOptions, SourceFile} from '../../files/source';

/** The names of GGUF files: of llama.cpp, and of the blobs in which Ollama keeps them. */
const GGUF_FILE = /(\.gguf|(^|[\\/])sha256-[0-9a-f]{64})$/i;

/** Whether a path or URL is that of a file with all of a model, by its name, and not that of a folder. */
export function isModelFile(source: string): boolean {
  return GGUF_FILE.test(isUrl(source) && URL.canParse(source) ? new URL(source).pathname : source);
}

/**
 * The files of a model; nothing is read yet.
 *
 * @throws if `source` is none of what it may be.
 */
export function openModelSource(
  owner: string,
  source: ModelSource,
  request?: RequestOptions,
): FileSource {
  const file = ggufFile(owner, source, request);
  return file ? onDemand(owner, file) : openSource(owner, source, request);
}

/** A GGUF file that is yet to be opened. */
interface GgufFile {
  name: string;
  open(): Promise<SourceFile | null>;
}

/** The GGUF file that a source is, if it is one. */
function ggufFile(owner: string, source: ModelSource, request?: RequestOptions): GgufFile | null {
  if (typeof source === 'string') {
    if (!isModelFile(source)) return null;
    if (isUrl(source)) return fileBehindUrl(owner, source, request);
    if (!isFolderPath(source)) return null;
    return {name: source, open: () => openFileAt(owner, source)};
  }
  const name = onlyGguf(source);
  if (name === null) return null;
  const files = openSource(owner, source);
  return {name, open: () => files.open(name)};
}

function fileBehindUrl(owner: string, source: string, request?: RequestOptions): GgufFile {
  const {folder, file} = splitFileUrl(owner, source);
  const files = openSource(owner, folder, request);
  return {name: source, open: () => files.open(file)};
}

/** The name of the GGUF file among files in memory, if that is all that they are. */
function onlyGguf(files: FileMap | DirectoryHandle): string | null {
  if (typeof files !== 'object' || files === null || Array.isArray(files)) return null;
  if (isDirectoryHandle(files)) return null;
  const names = files instanceof Map ? [...(files.keys() as Iterable<string>)] : Object.keys(files);
  const [name] = names;
  return names.length === 1 && isModelFile(name!) ? name! : null;
}

/** Loads what reads such a file when it is needed, so that programs without GGUF files do not. */
function onDemand(owner: string, {name, open}: GgufFile): FileSource {
  let source: Promise<FileSource> | undefined;
  return {
    name,
    async open(path) {
      source ??= import('./gguf/source').then(({ggufSource}) => ggufSource(owner, name, open));
      return (await source).open(path);
    },
  };
}
