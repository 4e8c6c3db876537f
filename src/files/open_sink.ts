import {display} from '../common/options';
import {folderSink} from './folder_sink';
import {isFolderPath} from './folder_source';
import {mapSink} from './map_sink';
import type {FileSink, ModelTarget} from './sink';

/** @throws if the target is neither a folder nor a map. */
export function openSink(owner: string, target: ModelTarget): FileSink {
  if (target instanceof Map) return mapSink(target);
  if (typeof target === 'string' && isFolderPath(target)) return folderSink(owner, target);
  throw new Error(`${owner}: a target is the path of a folder or a Map; got ${display(target)}`);
}
