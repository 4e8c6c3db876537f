/** The training of a run in this process, by `fitDataset`. */
import * as tf from '@tensorflow/tfjs-core';
import {join} from 'node:path';
import {resumeCheckpoint, type ResumedCheckpoint} from '../checkpoint/resume_checkpoint';
import {saveCheckpoint} from '../checkpoint/save_checkpoint';
import {sparseCrossEntropy, type TextBatch} from '../llama/index';
import type {Engine, EngineOutcome, EngineRun} from './engine';
import {masksIn} from './lora_method';
import {nextTurn} from './progress';
import {KEPT_CHECKPOINTS} from './run_files';
import type {RunFolder} from './run_folder';
import {checkMonitorState, type MonitorState} from './training_monitor';

export const tfjsEngine: Engine = {check: async (settings) => settings, train};

async function train(run: EngineRun): Promise<EngineOutcome> {
  const {settings, model, optimizer, callback, lora, training, monitor, folder} = run;
  const {signal} = run.context.interruption;
  const {accumulate} = settings;
  const parts = {...{model, optimizer, data: training}, ...(callback && {callback})};
  const save = (): Promise<void> =>
    run.save((target) =>
      saveCheckpoint(target, parts, {
        keep: KEPT_CHECKPOINTS,
        extra: {
          ...{...monitor.state(), data: run.data.contents, options: run.options},
          ...(lora && {dropoutMasks: lora.dropoutMasks}),
        },
      }),
    );
  const saveEvery = settings.saveEvery!;
  let batch: TextBatch | undefined;
  async function* batches(): AsyncGenerator<TextBatch, void> {
    signal.throwIfAborted();
    for await (batch of training) {
      yield batch;
      // between two batches
      await nextTurn();
      const isDue = saveEvery > 0 && monitor.batches % (accumulate * saveEvery) === 0;
      if (signal.aborted || isDue) await save();
      signal.throwIfAborted();
    }
  }
  try {
    model.compile({optimizer, loss: sparseCrossEntropy});
    if (settings.resume !== undefined) {
      const resumed = await resumeCheckpoint(folder.checkpoints, parts);
      run.goOn(resumed && stateIn(folder, resumed, optimizer));
      if (lora) lora.dropoutMasks = masksIn(resumed?.extra);
    }
    const dataset = {size: NaN, iterator: async () => batches()};
    const batchesLeft = run.data.steps * accumulate - monitor.batches;
    if (batchesLeft === 0) {
      // the run stopped after its last step, and tfjs refuses to train on nothing
      await monitor.onTrainBegin();
      await monitor.onTrainEnd();
    } else {
      // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- tfjs calls its iterator alone
      await model.fitDataset(dataset, {
        epochs: 1,
        batchesPerEpoch: batchesLeft,
        verbose: 0,
        callbacks: callback ? [callback, monitor] : [monitor],
      });
      if (saveEvery > 0) await save();
    }
    const isSaved = saveEvery > 0 || batchesLeft === 0;
    return {skippedSteps: optimizer.skippedSteps, saveCheckpoint: isSaved ? null : save};
  } finally {
    // if a step throws, tfjs does not dispose of its batch
    if (batch) tf.dispose([batch.xs, batch.ys]);
  }
}

/**
 * What a checkpoint has of the monitor.
 *
 * @param optimizer How many batches its steps have, and how many it has of the next one.
 * @throws if it is not what it should be.
 */
export function stateIn(
  folder: RunFolder,
  {path, extra, step}: Pick<ResumedCheckpoint, 'path' | 'extra' | 'step'>,
  optimizer: {readonly accumulate: number; readonly accumulated: number},
): MonitorState {
  checkMonitorState(`${join(folder.checkpoints, path)}: extra`, extra, step, optimizer);
  return extra;
}
