/**
 * Lists the files of some folders, as others do at the same times: `finish_in_process START STEP FOLDER…`, where the first folder's turn
 * is at START (as `Date.now()`) and each further one's STEP ms later. It says what went wrong.
 */
import {listFiles} from '../../src/files/list_files';

const [start, step, ...folders] = process.argv.slice(2);
for (const [i, folder] of folders.entries()) {
  const turn = Number(start) + i * Number(step);
  while (Date.now() < turn) await new Promise(setImmediate);
  await listFiles('test', folder).catch((error: unknown) => console.error(error));
}
