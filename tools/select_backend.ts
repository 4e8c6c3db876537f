import {loadBackend, type BackendName} from './load_backend';
import {selectBackend as select} from '../src/cli/backend';
import {messageOf} from '../src/cli/usage_error';

/** Selects a tfjs backend; where this machine has none of that name, ends the process with a line that says so. */
export async function selectBackend(name: BackendName): Promise<void> {
  await select(name, loadBackend).catch((error: unknown) => {
    console.error(`error: ${messageOf(error)}`);
    process.exit(2);
  });
}
