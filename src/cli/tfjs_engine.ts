/** The training of a run in this process, by `fitDataset`. */
import * as tf from '@tensorflow/tfjs-core';
import {join} from 'node:path';
import {ifGood, listManifests, readManifest, type Manifest} from '../checkpoint/manifest';
import {layerWeights} from '../checkpoint/parts';
import {
  restoreWeights,
  resumeCheckpoint,
  type ResumedCheckpoint,
} from '../checkpoint/resume_checkpoint';
import {saveCheckpoint} from '../checkpoint/save_checkpoint';
import {sparseCrossEntropy, type TextBatch} from '../llama/index';
import type {Engine, EngineOutcome, EngineRun} from './engine';
import {masksIn} from './lora_method';
import {nextTurn} from '../common/next_turn';
import {KEPT_CHECKPOINTS} from './run_files';
import type {RunFolder} from './run_folder';
import {checkMonitorState, type MonitorState} from './training_monitor';

const OWNER = 'finetune';

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
        // by which it stays
        ...(monitor.isBest && {metric: monitor.kept.loss}),
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
      if (signal.aborted || isDue || monitor.isBest) await save();
      signal.throwIfAborted();
    }
  }
  try {
    model.compile({optimizer, loss: sparseCrossEntropy});
    if (settings.resume !== undefined) {
      const resumed = await resumeCheckpoint(folder.checkpoints, parts);
      await run.goOn(resumed && stateIn(folder, resumed, optimizer));
      if (lora) lora.dropoutMasks = masksIn(resumed?.extra);
    }
    const dataset = {size: NaN, iterator: async () => batches()};
    const left = run.data.steps * accumulate - monitor.batches;
    const batchesLeft = monitor.isOver ? 0 : left;
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
    await restoreBest(run);
    const isSaved = saveEvery > 0 || batchesLeft === 0;
    return {skippedSteps: optimizer.skippedSteps, saveCheckpoint: isSaved ? null : save};
  } finally {
    // if a step throws, tfjs does not dispose of its batch
    if (batch) tf.dispose([batch.xs, batch.ys]);
  }
}

/** Puts the weights that the training leaves into the model, which has those of its last step. */
export async function restoreBest({model, monitor, folder}: EngineRun): Promise<void> {
  const {step, loss} = monitor.kept;
  if (step === monitor.steps.length) return;
  const {checkpoints} = folder;
  for (const file of await listManifests(OWNER, checkpoints)) {
    const read = (): Promise<Manifest> => readManifest(OWNER, checkpoints, file);
    const manifest = await ifGood(OWNER, file.path, [], read);
    if (manifest?.step !== step || manifest.metric !== loss) continue;
    await restoreWeights(checkpoints, manifest.model, layerWeights(OWNER, model));
    return;
  }
  throw new Error(
    `${OWNER}: the checkpoint of step ${step}, which has the lowest held-out loss, is gone from ${checkpoints}`,
  );
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
