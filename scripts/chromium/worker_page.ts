/** What `worker.ts` runs in a page: trainings in the library's worker, of which two are killed and go on. */
import {
  deleteRun,
  fineTuneInWorker,
  resumeInWorker,
  type FineTuning,
  type FineTuningError,
} from '../../src/worker/index';
import type {FineTuneOptions} from '../../src/worker/options';

/** What the page reports of a training. */
export interface WorkerReport {
  /** How it was ended before it went on; null: it was not. */
  kill: 'step' | 'save' | null;
  /** The step from which it went on. */
  from: number;
  losses: number[];
  /** All weights in the end, as a hash of their file. */
  digest: string;
  /** The code of the error that a second worker with the same run gets. */
  second: string | null;
}

const here = {
  worker: () => new Worker('/worker.js', {type: 'module'}),
  wasmPaths: `${location.origin}/`,
};

async function digestOf(training: FineTuning): Promise<string> {
  const files = await training.save('safetensors');
  const bytes = await files.get('model.safetensors')!.arrayBuffer();
  return [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].join();
}

/** Ends the worker in the middle of its fifth step, or of its third checkpoint. */
function killed(training: FineTuning, kill: 'step' | 'save'): Promise<void> {
  let saves = 0;
  return new Promise((resolve) => {
    const soon = (): unknown =>
      setTimeout(() => {
        training.dispose();
        resolve();
      }, 5);
    if (kill === 'step')
      training.on('step', ({step}) => {
        if (step === 4) soon();
      });
    else
      training.on('status', ({text}) => {
        if (text === 'saving a checkpoint' && ++saves === 3) soon();
      });
  });
}

async function run(): Promise<WorkerReport[]> {
  const {steps, ...given} = (await (await fetch('/options.json')).json()) as FineTuneOptions;
  const options = {...given, ...here, steps: steps!, model: `${location.origin}/model/`};
  const losses: number[] = [];
  const whole = fineTuneInWorker({...options, run: null});
  whole.on('step', ({loss}) => losses.push(loss));
  await whole.finished;
  const reports: WorkerReport[] = [
    {kill: null, from: 0, losses, digest: await digestOf(whole), second: null},
  ];
  whole.dispose();
  for (const kill of ['step', 'save'] as const) {
    const name = `killed in a ${kill}`;
    await killed(fineTuneInWorker({...options, run: name, saveEvery: 1}), kill);
    // until the browser has ended the worker, the run is its own
    await navigator.locks.request(`tfjs-owlore run ${name}`, () => undefined);
    const training = resumeInWorker(name, here);
    const more: number[] = [];
    training.on('step', ({loss}) => more.push(loss));
    const {step, history} = await training.ready;
    const second = resumeInWorker(name, here);
    const code = await second.finished.then(
      () => null,
      (error: unknown) => (error as FineTuningError).code,
    );
    second.dispose();
    await training.finished;
    const until = history.flatMap(({event, data}) => (event === 'step' ? [data.loss] : []));
    const digest = await digestOf(training);
    reports.push({kill, from: step, losses: [...until, ...more], digest, second: code});
    training.dispose();
    await navigator.locks.request(`tfjs-owlore run ${name}`, () => undefined);
    await deleteRun(name);
  }
  return reports;
}

run().then(
  (reports) => fetch('/report', {method: 'POST', body: JSON.stringify(reports)}),
  (error: unknown) =>
    fetch('/error', {method: 'POST', body: JSON.stringify(String((error as Error).stack))}),
);
