import {chmodSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';

/**
 * What a Python without torch would be asked, answered by Node: `probe.py` gets `FAKE_FOUND`; a job of torchrun goes on from its
 * checkpoint, whose files it hands back as they are, for as many steps as `FAKE_STEPS` says (default: to the end), and then saves a
 * checkpoint and stops when it is told to. With `FAKE_ERROR` it fails with that, with `FAKE_SAYS` it says that in the place of its first
 * step (`"MODEL"` stands for the model of the checkpoint), and with `FAKE_HANG` it writes its number to that file and never ends. With
 * `FAKE_FULL` it finds no room for files so many times. `FAKE_LOSSES` has held-out losses by steps, `,3,2`: those of which there is one
 * are measured.
 */
const PROGRAM = `
const {cpSync, existsSync, readFileSync, writeFileSync} = require('node:fs');
const {dirname, join} = require('node:path');
const args = process.argv.slice(2);
const {FAKE_FOUND, FAKE_STEPS, FAKE_ERROR, FAKE_SAYS, FAKE_HANG, FAKE_FULL = '0', FAKE_LOSSES} = process.env;
if (args[0].endsWith('probe.py')) {
  console.log(FAKE_FOUND);
  process.exit(0);
}
const job = JSON.parse(readFileSync(args.at(-1), 'utf8'));
let {checkpoints} = job;
let folder = dirname(args.at(-1));
if (FAKE_ERROR) {
  console.error('Traceback:\\nfinetune.py has failed: ' + FAKE_ERROR + '\\ntorchrun says more');
  process.exit(1);
}
const send = (event, fields) => console.log(JSON.stringify({event, ...fields}));
const when = async (file) => {
  while (!existsSync(join(folder, file))) await new Promise((resolve) => setTimeout(resolve, 2));
};
// files are there already, unless they are to be elsewhere
const write = async (names) => {
  for (let left = Number(FAKE_FULL); left > 0; left--) {
    send('full', {path: join(folder, 'x.safetensors'), reason: 'No space left on device'});
    const answer = await new Promise((resolve) => process.stdin.once('data', resolve));
    ({checkpoints, folder} = JSON.parse(answer));
  }
  process.stdin.pause();
  for (const name of names)
    if (checkpoints !== job.checkpoints) cpSync(join(job.checkpoints, name), join(checkpoints, name));
};
(async () => {
  console.log('something that is no event');
  const how = {processes: 1, parallel: 'single', backend: null, device: 'cpu'};
  send('begin', {torch: '2.6.0', ...how});
  if (FAKE_HANG) {
    writeFileSync(FAKE_HANG, String(process.pid));
    setInterval(() => undefined, 1000);
    return;
  }
  if (FAKE_SAYS) {
    console.log(FAKE_SAYS.replace('"MODEL"', JSON.stringify(job.resume.model)));
    return;
  }
  const {model, optimizer} = job.resume;
  const weights = model.map(({file}) => file);
  let {step, lowest, notLower} = job.start;
  const losses = (FAKE_LOSSES ?? '').split(',');
  const save = async () => {
    const counters = {...optimizer.counters, iter: step};
    await write([...weights, ...optimizer.files]);
    send('checkpoint', {step, model, optimizer: {counters, files: optimizer.files}, stateBytes: 4e6});
    await when('saved-' + step);
  };
  const last = FAKE_STEPS ? step + Number(FAKE_STEPS) : job.steps;
  while (step < last) {
    const learningRate = job.optimizer.stepRates[step];
    const {interval, periods} = job.blockHistory;
    const blocks = periods[Math.floor(step / interval)];
    step++;
    send('step', {step, loss: 2, learningRate, blocks, seconds: 0.1, peakBytes: 5e6, stateBytes: 4e6});
    if (!losses[step - 1]) continue;
    const loss = Number(losses[step - 1]);
    send('heldOut', {step, loss});
    const isBest = lowest === null || loss < lowest;
    [lowest, notLower] = isBest ? [loss, 0] : [lowest, notLower + 1];
    if (job.patience !== null && notLower >= job.patience) break;
    if (job.keepBest && isBest && step < last) await save();
  }
  const isOver = step === job.steps || (job.patience !== null && notLower >= job.patience);
  if (!isOver) {
    await when('stop');
    await save();
    send('stopped', {step});
  } else {
    if (job.start.heldOutAt !== step && !losses[step - 1]) send('heldOut', {step, loss: 1.5});
    await write(weights);
    send('done', {model, skipped: 0});
  }
})();
`;

/** Packages that are new enough. */
export const goodPackages = {
  ...{python: '3.12.1', gpus: 0, torch: '2.6.0+cu124', transformers: '5.0.0'},
  ...{safetensors: '0.5.0', numpy: '2.0.0'},
};

/** Writes such a program; returns its path. */
export function writeFakePython(folder: string): string {
  const path = join(folder, 'fake-python');
  writeFileSync(path, `#!${process.execPath}\n${PROGRAM}`);
  chmodSync(path, 0o755);
  return path;
}

/** Runs `body` with variables in the environment. */
export async function withEnvironment<T>(
  variables: Record<string, string>,
  body: () => Promise<T>,
): Promise<T> {
  Object.assign(process.env, variables);
  try {
    return await body();
  } finally {
    for (const name of Object.keys(variables)) Reflect.deleteProperty(process.env, name);
  }
}
