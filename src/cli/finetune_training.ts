/** The training of `tfjs-owlore finetune`: from a plan to a trained model, with a log, checkpoints, and a way to stop and go on. */
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {resumeCheckpoint, type ResumedCheckpoint} from '../checkpoint/resume_checkpoint';
import {saveCheckpoint} from '../checkpoint/save_checkpoint';
import {perplexity, sparseCrossEntropy, type TextBatch} from '../llama/index';
import type {MemoryMeter} from '../memory/meter';
import {paperMethod, paperMethods, type MethodParts} from '../methods';
import {resolveBlocks} from '../model/blocks';
import {warmup, type LearningRate} from '../optim/schedule';
import type {BlockSampling} from './block_sampling';
import type {Context} from './command';
import {trainEmbedding} from './embedding_mode';
import {schedules, type FinetuneSettings} from './finetune_options';
import type {Trained} from './finetune_outcome';
import {StoppedError} from './interruption';
import type {Loaded} from './model_options';
import {loraOptionsOf, masksIn} from './lora_method';
import {nextTurn} from './progress';
import type {RunFolder} from './run_folder';
import {openTensorBoard} from './tensorboard';
import type {TrainingData} from './training_data';
import {
  checkMonitorState,
  TrainingMonitor,
  type LogEntry,
  type MonitorState,
} from './training_monitor';
import {counted} from './words';

/** All that a run needs to begin. */
export interface Plan {
  /** The options in effect. */
  settings: FinetuneSettings;
  data: TrainingData;
  /** Null if all blocks train. */
  sampling: BlockSampling | null;
}

/** Trains the model, from where a run that goes on has stopped. */
export async function train(
  {settings, data, sampling}: Plan,
  {model}: Loaded,
  meter: MemoryMeter,
  folder: RunFolder,
  {console, interruption: {signal}}: Context,
): Promise<Trained> {
  const {steps} = data;
  const {accumulate, nonFinite} = settings;
  const {lora: isLora = false}: MethodParts = paperMethods[settings.method];
  const {
    optimizer,
    callback: layerSampling,
    lora,
  } = paperMethod(settings.method, model, {
    learningRate: learningRateOf(settings, steps),
    scale: 1, // from OwLore's published code, like the default rate
    rank: settings.rank,
    refreshInterval: settings.refreshInterval,
    weightDecay: settings.weightDecay,
    clipNorm: settings.clipNorm,
    normGrowth: settings.normGrowth,
    checkpoint: settings.checkpoint,
    ...{nonFinite, accumulate},
    ...sampling?.options,
    ...(isLora && loraOptionsOf(settings)),
    ...trainEmbedding(settings.embedding, model, settings.method),
  });
  if (sampling?.scores) folder.writeScores(sampling.scores);
  const blocks = resolveBlocks(model).map(({name, weights}) => ({
    name,
    weights: weights.map((weight) => weight.name),
  }));
  const events = openTensorBoard(folder.tensorBoard);
  const monitor = new TrainingMonitor({
    ...{steps, accumulate, blocks, meter, optimizer},
    evaluate: async (watch) => {
      const isLast = monitor.steps.length === steps;
      const heldOut = data.heldOut();
      const batches = interruptible(heldOut, isLast ? undefined : signal, () =>
        watch(`${heldOut.report.used} of ${data.heldOutExamples} examples`),
      );
      try {
        return (await perplexity(model, batches)).loss;
      } catch (error) {
        if (signal.aborted && error === signal.reason) return null;
        throw error;
      }
    },
    evaluateEvery: settings.evaluateEvery!,
    startProgress: () => console.progress({label: 'training', total: steps}),
    log: (entry) => {
      folder.append(entry);
      events?.scalars(entry.step, scalarsOf(entry));
      if (entry.event === 'heldOut')
        console.note(`step ${entry.step}: held-out loss ${entry.loss.toFixed(4)}`);
    },
  });
  if (layerSampling) folder.keepHistory(() => layerSampling.schedule);
  const training = data.training({repeat: true});
  const parts = {
    ...{model, optimizer, data: training},
    ...(layerSampling && {callback: layerSampling}),
  };
  const save = (): Promise<void> =>
    folder.saveCheckpoint((target) =>
      saveCheckpoint(target, parts, {
        keep: settings.keep,
        extra: {...monitor.state(), ...(lora && {dropoutMasks: lora.dropoutMasks})},
      }),
    );
  let batch: TextBatch | undefined;
  async function* batches(): AsyncGenerator<TextBatch, void> {
    signal.throwIfAborted();
    for await (batch of training) {
      yield batch;
      // between two batches
      await nextTurn();
      const isDue = monitor.batches % (accumulate * (settings.saveEvery ?? Infinity)) === 0;
      if (signal.aborted || isDue) await save();
      signal.throwIfAborted();
    }
  }
  try {
    model.compile({optimizer, loss: sparseCrossEntropy});
    if (settings.resume !== undefined) {
      const resumed = await resumeCheckpoint(folder.checkpoints, parts);
      const state = resumed ? stateIn(folder, resumed) : monitor.state();
      monitor.restore(state, folder.rewindLog(state.steps));
      if (lora) lora.dropoutMasks = masksIn(resumed?.extra);
      const from = resumed ? `step ${state.steps}` : 'its beginning, for it has no checkpoint';
      console.note(`${folder.path}: the run goes on from ${from}`);
    }
    const dataset = {size: NaN, iterator: async () => batches()};
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- tfjs calls its iterator alone
    await model.fitDataset(dataset, {
      epochs: 1,
      batchesPerEpoch: steps * accumulate - monitor.batches,
      verbose: 0,
      callbacks: layerSampling ? [layerSampling, monitor] : [monitor],
    });
    const {skippedSteps} = optimizer;
    if (skippedSteps > 0)
      console.note(
        `${counted(skippedSteps, 'step')} changed nothing, by --non-finite ${nonFinite}`,
      );
    return {monitor, blocks: blocks.map(({name}) => name), lora};
  } catch (error) {
    if (error !== signal.reason) throw error;
    const {stopSignal} = error as StoppedError;
    const goOn = monitor.batches > 0 ? `; to go on: finetune --resume ${folder.path}` : '';
    throw new StoppedError(stopSignal, `after step ${monitor.steps.length} of ${steps}${goOn}`);
  } finally {
    // if a step throws, tfjs does not dispose of its batch
    if (batch) tf.dispose([batch.xs, batch.ys]);
    events?.close();
    optimizer.dispose();
  }
}

/** What a checkpoint has of the monitor. */
function stateIn(folder: RunFolder, {path, extra, step}: ResumedCheckpoint): MonitorState {
  checkMonitorState(`${join(folder.checkpoints, path)}: extra`, extra, step);
  return extra;
}

/** Batches, with a pause after each in which signals can be handled; if `signal` is aborted it throws the reason. */
async function* interruptible(
  batches: AsyncIterable<TextBatch>,
  signal: AbortSignal | undefined,
  onBatch: () => void,
): AsyncGenerator<TextBatch, void> {
  for await (const batch of batches) {
    yield batch;
    onBatch();
    await nextTurn();
    signal?.throwIfAborted();
  }
}

function learningRateOf(
  {learningRate, schedule, warmup: rise}: FinetuneSettings,
  steps: number,
): LearningRate {
  const then = schedules[schedule](learningRate, steps - rise);
  return rise > 0 ? warmup(rise, then) : then;
}

/** The numbers of an entry, under the names that TensorBoard shows. */
function scalarsOf(entry: LogEntry): Record<string, number> {
  if (entry.event === 'heldOut') return {'loss/heldOut': entry.loss};
  const {loss, learningRate, blocks, seconds, peakBytes} = entry;
  return {
    'loss/train': loss,
    learningRate,
    blocksOn: blocks.length,
    secondsPerStep: seconds,
    peakBytes,
  };
}
