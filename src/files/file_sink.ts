import {checkArgument} from '../common/options';
import {removeLeftovers, temporaryName} from './folder_commit';
import {isFolderPath} from './file_url';
import {nodeModule} from './node_module';
import {newSinkFile, tellingPlace} from './new_file';
import type {FileSink} from './sink';
import {unlessMissing} from './unless_missing';

/**
 * A single file, only in Node, whatever name `create` gives it. It is written under a temporary name beside its place, which it takes when
 * it is complete: an older file there stays until then. A link to one leads to the new one.
 *
 * @param owner What messages start with.
 * @throws if the target is no path.
 */
export function fileSink(owner: string, target: string): FileSink {
  const isPath = typeof target === 'string' && isFolderPath(target);
  checkArgument(
    owner,
    'target',
    target,
    'the path of a file, a FileSystemDirectoryHandle, or a Map',
    isPath,
  );
  const writing = tellingPlace(
    `${owner}: cannot write the file '${target}'`,
    'an older one is as it was',
  );
  let temporary: string | undefined;
  let place = target;
  return {
    create: () =>
      writing(async () => {
        const {realpath, stat} = nodeModule('node:fs/promises');
        const {basename, dirname, join} = nodeModule('node:path');
        place = (await unlessMissing(realpath(target))) ?? target;
        const older = await unlessMissing(stat(place));
        if (older && !older.isFile()) throw new Error(`${owner}: '${target}' is not a file`);
        await removeLeftovers(dirname(place));
        temporary = join(dirname(place), await temporaryName(basename(place)));
        return newSinkFile(temporary, writing, older?.mode);
      }),
    commit: () =>
      writing(async () => {
        const {rename} = nodeModule('node:fs/promises');
        await rename(temporary!, place);
      }),
    async abort() {
      const {rm} = nodeModule('node:fs/promises');
      if (temporary !== undefined) await unlessMissing(rm(temporary));
    },
  };
}
