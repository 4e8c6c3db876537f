/** Locks the folder that is its argument, shares the lock with the process whose number is the next one, if there is one, says `locked` or why not, and keeps the lock until its stdin ends. */
import {lockFolder} from '../../src/files/folder_lock';

try {
  const [, , folder, other] = process.argv;
  const lock = lockFolder('test', folder!);
  if (other !== undefined) lock.shareWith(Number(other));
  process.stdout.write('locked\n');
} catch (error) {
  process.stdout.write(`${(error as Error).message}\n`);
}
process.stdin.resume();
