import {loadBackend, type BackendName} from './load_backend';
import {selectBackend as select} from '../src/cli/backend';
import {messageOf} from '../src/cli/usage_error';

/** Selects the backend that is wanted, else tensorflow if this machine has it, else wasm; returns its name. */
export async function selectWanted(wanted: string | undefined): Promise<BackendName> {
  const name = wanted ?? ((await loadBackend('tensorflow')) ? 'tensorflow' : 'wasm');
  await selectBackend(name as BackendName);
  return name as BackendName;
}

/** Selects a tfjs backend; where this machine has none of that name, ends the process with a line that says so. */
export async function selectBackend(name: BackendName): Promise<void> {
  await select(name, loadBackend).catch((error: unknown) => {
    console.error(`error: ${messageOf(error)}`);
    process.exit(2);
  });
}
