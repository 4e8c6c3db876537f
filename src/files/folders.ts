/** Folders, which a page loads when it needs one: by their path in Node, and by a handle in a browser. */
import type {DirectoryHandle} from './directory_handle';
import {folderSink} from './folder_sink';
import {folderSource, listFolder, realFolder} from './folder_source';
import {handleSink, handleSource, listHandle} from './handle_folder';
import type {FileSink} from './sink';
import type {FileSource} from './source';

export {realFolder};

type Folder = string | DirectoryHandle;

export function sourceIn(owner: string, folder: Folder): FileSource {
  return typeof folder === 'string' ? folderSource(owner, folder) : handleSource(owner, folder);
}

export function sinkIn(owner: string, folder: Folder): FileSink {
  return typeof folder === 'string' ? folderSink(owner, folder) : handleSink(owner, folder);
}

/** The names of the files in a folder; none if there is no such folder. */
export function filesIn(owner: string, folder: Folder): Promise<string[]> {
  return typeof folder === 'string' ? listFolder(owner, folder) : listHandle(owner, folder);
}
