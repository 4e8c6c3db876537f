/** The command line with the backends that this repository finds, among them tfjs-node as it builds it. It takes no signals. */
import {runProgram} from '../../src/cli/program';
import {loadBackend} from '../../tools/load_backend';

const {stdin, stdout, stderr} = process;
process.exitCode = await runProgram(process.argv.slice(2), {stdin, stdout, stderr, loadBackend});
