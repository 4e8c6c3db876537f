/**
 * Memory, time and held-out loss of fine-tuning a real model with each of `--embedding full`, `low-rank` and `frozen`.
 *
 *   npm run bench -- embedding_modes --model FOLDER --data JSONL
 *   npm run bench -- embedding_modes --model FOLDER --data JSONL --steps 40 --modes low-rank,frozen --backend wasm
 *   npm run bench -- embedding_modes --model FOLDER --data JSONL --frozen F32,BF16
 *
 * By the command line, each in a process of its own: OwLore with 5 blocks on at rank 128, batches of 4 sequences of 128 tokens, uniform
 * scores. A step's peak is of tensors, the resident memory the process's highest, with loading, saving and evaluation.
 */
import {spawn} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {parseArgs} from 'node:util';
import {median} from '../harness/statistics';
import {peakResidentBytes} from '../harness/process_usage';

const MB = 1e6;

const {values} = parseArgs({
  options: {
    model: {type: 'string'},
    data: {type: 'string'},
    modes: {type: 'string', default: 'full,low-rank,frozen'},
    /** How weights are kept that do not train. */
    frozen: {type: 'string', default: 'F32'},
    backend: {type: 'string', default: 'tensorflow'},
    steps: {type: 'string', default: '10'},
    seed: {type: 'string', default: '0'},
    /** The command line. The default one finds tfjs-node as this repository builds it, too. */
    program: {
      type: 'string',
      default: fileURLToPath(new URL('../../test/cli/main_with_any_backend.ts', import.meta.url)),
    },
  },
});
if (values.model === undefined || values.data === undefined) {
  throw new Error('give --model, the folder of a model, and --data, a jsonl file of texts');
}

console.log(
  '| embedding | frozen | peak of a step, MB | resident, MB | s a step | held-out loss |',
);
console.log(
  '| --------- | ------ | ------------------ | ------------ | -------- | ------------- |',
);
for (const frozen of values.frozen.split(',')) {
  for (const mode of values.modes.split(',')) console.log(await measure(mode, frozen));
}

interface Entry {
  event: string;
  loss: number;
  seconds: number;
  peakBytes: number;
}

async function measure(mode: string, frozen: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'owlore-embedding-'));
  try {
    const resident = await finetune(mode, frozen, join(folder, 'run'));
    const log = readFileSync(join(folder, 'run', 'log.jsonl'), 'utf8')
      .trim()
      .split('\n');
    const entries = log.map((line) => JSON.parse(line) as Entry);
    const steps = entries.filter(({event}) => event === 'step');
    const heldOut = entries.filter(({event}) => event === 'heldOut').map(({loss}) => loss);
    const peak = Math.max(...steps.map(({peakBytes}) => peakBytes));
    const seconds = median(steps.slice(1).map((step) => step.seconds));
    const losses = `${heldOut[0]!.toFixed(4)} → ${heldOut.at(-1)!.toFixed(4)}`;
    const cells = [mode, frozen, (peak / MB).toFixed(0), (resident / MB).toFixed(0), seconds.toFixed(2), losses]; // prettier-ignore
    return `| ${cells.join(' | ')} |`;
  } finally {
    rmSync(folder, {recursive: true, force: true});
  }
}

/** Runs the command line; gives its most resident memory. */
async function finetune(mode: string, frozen: string, output: string): Promise<number> {
  const {model, data, steps, backend, program, seed} = values;
  const given = {
    ...{model, data, output, steps, backend, seed},
    ...{gamma: '5', rank: '128', interval: '10', scores: 'uniform', schedule: 'constant'},
    ...{'batch-size': '4', 'max-length': '128', 'validation-split': '0.01'},
    ...{embedding: mode, frozen},
    'evaluate-every': steps,
  };
  const args = Object.entries(given).flatMap(([name, value]) => [`--${name}`, value!]);
  const child = spawn(process.execPath, ['--import', 'tsx', program, 'finetune', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (text: Buffer) => (errors += text.toString()));
  let resident = 0;
  const watch = setInterval(() => {
    resident = Math.max(resident, peakResidentBytes(child.pid!) ?? 0);
  }, 200);
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearInterval(watch);
  if (code !== 0) throw new Error(`finetune with --embedding ${mode} failed:\n${errors}`);
  return resident;
}
