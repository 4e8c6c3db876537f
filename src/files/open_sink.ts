import {display} from '../common/options';
import {isDirectoryHandle, type DirectoryHandle} from './directory_handle';
import {isFolderPath} from './file_url';
import {mapSink} from './map_sink';
import type {FileSink, ModelTarget} from './sink';

/** @throws if the target is no folder and no map. */
export function openSink(owner: string, target: ModelTarget): FileSink {
  if (target instanceof Map) return mapSink(target);
  if (typeof target === 'string' ? isFolderPath(target) : isDirectoryHandle(target))
    return folderSink(owner, target);
  throw new Error(
    `${owner}: a target is the path of a folder, a FileSystemDirectoryHandle or a Map; got ${display(target)}`,
  );
}

function folderSink(owner: string, folder: string | DirectoryHandle): FileSink {
  let sink: Promise<FileSink> | undefined;
  const load = (): Promise<FileSink> =>
    (sink ??= import('./folders').then(({sinkIn}) => sinkIn(owner, folder)));
  return {
    create: async (path, size) => (await load()).create(path, size),
    commit: async (isObsolete) => (await load()).commit(isObsolete),
    abort: async () => (await sink)?.abort(),
  };
}
