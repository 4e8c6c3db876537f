/** Locks the folder that is its argument, says `locked` or why not, and keeps the lock until its stdin ends. */
import {lockFolder} from '../../src/files/folder_lock';

try {
  lockFolder('test', process.argv[2]!);
  process.stdout.write('locked\n');
} catch (error) {
  process.stdout.write(`${(error as Error).message}\n`);
}
process.stdin.resume();
