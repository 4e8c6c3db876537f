/** Makes one run after the other in the folder that is its argument, each in the place of the one before, until it is killed. */
import {UsageError} from '../../src/cli/usage_error';
import {uses} from './use_run_folder';

const path = process.argv[2]!;
try {
  for (;;) {
    process.stdout.write('.');
    try {
      await uses['--resume']!(path);
    } catch (error) {
      // it is complete, or was killed before it had options or a step
      if (!(error instanceof UsageError) && !String(error).includes('of the first 1 step'))
        throw error;
      if (String(error).includes('move it away')) throw error;
    }
    await uses['--overwrite']!(path);
  }
} catch (error) {
  process.stderr.write(`${String(error)}\n`);
}
