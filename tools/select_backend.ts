import {backendNames, loadBackend, type BackendName} from './load_backend';
import {selectBackend as select} from '../src/cli/backend';
import {messageOf} from '../src/cli/usage_error';
import {checkChoice} from '../src/common/options';

/**
 * Selects a tfjs backend for a program of this repository, with this library's kernels; a name that is wrong, or a backend
 * that this machine does not have, ends the process with a line that says so.
 *
 * @param name `'auto'`, the default: tensorflow if this machine has it, else wasm.
 * @returns its name.
 */
export async function selectBackend(name = 'auto'): Promise<BackendName> {
  try {
    checkChoice('selectBackend', 'name', name, ['auto', ...backendNames]);
    return await select(name, (line) => console.warn(line), loadBackend);
  } catch (error) {
    console.error(`error: ${messageOf(error)}`);
    return process.exit(2);
  }
}
