import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {RunFolder} from '../../src/cli/run_folder';
import {checkResumable, checkRunFolder, configToResume} from '../../src/cli/run_folder_checks';
import {openSink} from '../../src/files/open_sink';
import type {RunRecord} from '../../src/cli/report/report';

export const digits = '0123456789abcdef'.repeat(2);
const step = {event: 'step' as const, loss: 1, learningRate: 1, blocks: [], seconds: 1};
const report: RunRecord = {
  ...{title: '', lead: '', method: '', backend: '', parameters: 1, seconds: 1, settings: {}},
  ...{scoreTitle: null, outsideBlocks: 'all', blocks: [], steps: [], heldOut: []},
  ...{savedStep: 0, samples: [], next: []},
  memory: {method: {peak: 1, state: 1}, full: null},
};

/** Saves files as models and checkpoints are. */
async function saveFiles(target: string, ...names: string[]): Promise<void> {
  const sink = openSink('test', target);
  for (const name of names) {
    const file = await sink.create(name, 3);
    await file.write(Buffer.from('own'));
    await file.close();
  }
  await sink.commit(() => false);
}
const saveCheckpoint = (target: string): Promise<void> =>
  saveFiles(target, `${digits}.safetensors`, `checkpoint-000001-${digits}.json`);
const saveModel = (target: string): Promise<void> =>
  saveFiles(target, 'model.safetensors', 'config.json');

/** What a run does, up to its end or a step before. */
export async function write(run: RunFolder, steps: number, isToEnd: boolean): Promise<void> {
  run.writeConfig({});
  run.writeScores({});
  run.keepHistory(() => ({blocks: [], interval: 1, periods: []}));
  run.append({...step, step: steps, peakBytes: 1});
  await run.saveCheckpoint(saveCheckpoint);
  run.makeTensorBoard((folder) => writeFileSync(join(folder, 'events.out.tfevents.1.a'), 'own'));
  run.makeJob();
  writeFileSync(join(run.job, 'job.json'), '{}');
  await saveModel(join(run.job, 'model'));
  run.makePythonLog();
  if (!isToEnd) {
    run.stop({state: 'interrupted'});
    return;
  }
  await run.saveAdapter((target) => saveFiles(target, 'adapter_model.safetensors'));
  await run.saveModel(saveModel);
  run.writeReport(report);
  run.finish();
}

/** The ways in which a command comes to write into a folder that has something in it. */
export const uses: Record<string, (path: string) => Promise<void>> = {
  async '--resume'(path) {
    configToResume('--resume', path);
    checkResumable('--resume', path);
    const run = RunFolder.resume('--resume', path);
    try {
      run.rewindLog(1);
      await write(run, 2, true);
    } catch (error) {
      run.stop({state: 'failed', error: ''});
      throw error;
    }
  },
  async '--overwrite'(path) {
    checkRunFolder('--output', path, true);
    const run = RunFolder.open('--output', path, true);
    try {
      await write(run, 1, true);
    } catch (error) {
      run.stop({state: 'failed', error: ''});
      throw error;
    }
  },
};
