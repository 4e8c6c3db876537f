import {isUrl} from './file_url';
import {isFolderPath, folderSource} from './folder_source';
import {mapSource} from './map_source';
import type {FileSource, ModelSource, RequestOptions} from './source';
import {urlSource} from './url_source';

/**
 * Opens a source; nothing is read yet.
 *
 * @param owner What messages start with.
 * @throws if it is none of the three kinds.
 */
export function openSource(
  owner: string,
  source: ModelSource,
  request: RequestOptions = {},
): FileSource {
  if (typeof source !== 'string') return mapSource(owner, source);
  if (isUrl(source)) return urlSource(owner, source, request);
  if (isFolderPath(source)) return folderSource(owner, source);
  throw new Error(
    `${owner}: a source is the path of a folder, an http(s) URL or files by name; got '${source}'`,
  );
}
