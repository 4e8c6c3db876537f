import {folderName, isDirectoryHandle, type DirectoryHandle} from './directory_handle';
import {isFolderPath, isUrl} from './file_url';
import {mapSource, SOURCES} from './map_source';
import type {FileSource, ModelSource, RequestOptions} from './source';
import {urlSource} from './url_source';

/**
 * Opens a source; nothing is read yet.
 *
 * @param owner What messages start with.
 * @throws if it is of no kind that is known.
 */
export function openSource(
  owner: string,
  source: ModelSource,
  request: RequestOptions = {},
): FileSource {
  if (isDirectoryHandle(source)) return folderSource(owner, source);
  if (typeof source !== 'string') return mapSource(owner, source);
  if (isUrl(source)) return urlSource(owner, source, request);
  if (isFolderPath(source)) return folderSource(owner, source);
  throw new Error(`${owner}: ${SOURCES}; got '${source}'`);
}

function folderSource(owner: string, folder: string | DirectoryHandle): FileSource {
  let source: Promise<FileSource> | undefined;
  return {
    name: folderName(folder),
    async open(path) {
      source ??= import('./folders').then(({sourceIn}) => sourceIn(owner, folder));
      return (await source).open(path);
    },
  };
}
