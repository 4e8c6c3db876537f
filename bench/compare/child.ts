/**
 * A process of the comparison: a command of the command line, or the measurement of a model. Its result is a file that is there in
 * full or not at all; a command that fails leaves its error in another. The process ends with the one that has started it, even if that was killed.
 *
 *   tsx bench/compare/child.ts command RESULT finetune --model … (what `tfjs-owlore` takes)
 *   tsx bench/compare/child.ts measure RESULT '{"model": …}' (see `measure`)
 */
import {PassThrough} from 'node:stream';
import {text} from 'node:stream/consumers';
import '@tensorflow/tfjs-layers';
import {runProgram} from '../../src/cli/program';
import {messageOf} from '../../src/cli/usage_error';
import {loadBackend} from '../../tools/load_backend';
import {measure, type MeasureOptions} from './measure';
import {failureOf, writeWhole} from './files';

/** What a command leaves. */
export interface CommandResult {
  /** What the command prints with `--json`. */
  result: unknown;
  /** The most memory that the process has had, in bytes. */
  residentBytes: number;
}

/** Of `process.resourceUsage`, in KiB. */
const KIB = 1024;

const {stdin, stderr} = process;
stdin.on('end', () => process.exit(1)).resume();

const [kind, file, ...args] = process.argv.slice(2);
if (kind === 'measure') {
  try {
    write(await measure(JSON.parse(args[0]!) as MeasureOptions));
  } catch (error) {
    console.error(`error: ${messageOf(error)}`);
    process.exitCode = 1;
  }
} else {
  const stdout = new PassThrough();
  const printed = text(stdout);
  const code = await runProgram([...args, '--json'], {stdin, stdout, stderr, loadBackend});
  stdout.end();
  const result: unknown = JSON.parse(await printed);
  if (code === 0)
    write({result, residentBytes: process.resourceUsage().maxRSS * KIB} satisfies CommandResult);
  else writeWhole(failureOf(file!), JSON.stringify(result));
  process.exitCode = code;
}
stdin.destroy();

function write(result: object): void {
  writeWhole(file!, JSON.stringify(result));
}
