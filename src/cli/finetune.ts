/** `tfjs-owlore finetune`: trains a model, and leaves a folder that says how it went. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {resumeCheckpoint, type ResumedCheckpoint} from '../checkpoint/resume_checkpoint';
import {saveCheckpoint} from '../checkpoint/save_checkpoint';
import {perplexity, saveLlama, sparseCrossEntropy, type TextBatch} from '../llama/index';
import {startMemoryMeter, type MemoryMeter} from '../memory/meter';
import {paperMethod} from '../methods';
import {resolveBlocks} from '../model/blocks';
import {warmup, type LearningRate} from '../optim/schedule';
import {chooseSampling, type BlockSampling} from './block_sampling';
import {defineCommand, type Context} from './command';
import {checkEmbedding, trainEmbedding} from './embedding_mode';
import {cardOf} from './finetune_card';
import {
  checkTogether,
  configOf,
  finetuneOptions,
  schedules,
  scoreNames,
  type FinetuneSettings,
} from './finetune_options';
import {printOutcome, runRecord, type Outcome, type Trained} from './finetune_outcome';
import {FittedDefaults, type Sizes} from './fitted_defaults';
import {withLibraryMessages} from './library_messages';
import {loadModel, type Loaded} from './model_options';
import {isHubName} from './options';
import {nextTurn} from './progress';
import {StoppedError} from './interruption';
import {checkResumable, checkRunFolder, filesOfRun, RunFolder} from './run_folder';
import {checkInputsOutside} from './run_inputs';
import {openTensorBoard} from './tensorboard';
import {prepareData, type TrainingData} from './training_data';
import {
  checkMonitorState,
  TrainingMonitor,
  type LogEntry,
  type MonitorState,
} from './training_monitor';
import {messageOf} from './usage_error';
import {counted} from './words';

export const finetune = defineCommand({
  name: 'finetune',
  summary: 'Fine-tunes a model, and writes a folder with the model and how it went.',
  examples: [
    ['with OwLore', 'finetune --model demo/model --data train.jsonl --output run'],
    ['the same run again', 'finetune --config run/config.json --output again'],
    [
      'another method, longer',
      'finetune --model demo/model --data train.jsonl --output run --method lisa --epochs 3',
    ],
  ],
  options: finetuneOptions,
  configFile: ({resume}) => (resume === undefined ? undefined : filesOfRun(resume).config),
  async run(all, context) {
    const {given, console} = context;
    const settings = all.resume === undefined ? all : {...all, output: all.resume};
    checkTogether(settings, given);
    const {output, model, data, validation, scores, resume} = settings;
    checkInputsOutside(given, output, {
      ...{data, validation},
      model: isHubName(model) ? undefined : model,
      scores: scoreNames.includes(scores) ? undefined : scores,
    });
    if (resume !== undefined) checkResumable(given.get('resume')!, resume);
    else checkRunFolder(given.get('output')!, output, settings.overwrite);
    const backend = await context.selectBackend(settings.backend);
    const meter = startMemoryMeter();
    try {
      return await withLibraryMessages(
        (line) => console.note(context.withFlags(line)),
        async () => {
          // a large vocabulary's logits would be most of the memory
          const loaded = await loadModel({...settings, backend}, context, {
            headInLoss: true,
            frozen: settings.frozen,
          });
          try {
            return await finetuneModel(settings, loaded, meter, context);
          } finally {
            loaded.model.dispose();
          }
        },
      );
    } finally {
      meter.stop();
    }
  },
});

/** All that a run needs to begin. */
interface Plan {
  /** The options in effect. */
  settings: FinetuneSettings;
  data: TrainingData;
  /** Null if all blocks train. */
  sampling: BlockSampling | null;
}

async function finetuneModel(
  settings: FinetuneSettings,
  loaded: Loaded,
  meter: MemoryMeter,
  context: Context,
): Promise<object> {
  const start = performance.now();
  const plan = await makePlan(settings, loaded, context);
  const {console, given, interruption} = context;
  const {output, overwrite, resume} = settings;
  const folder =
    resume === undefined
      ? RunFolder.open(given.get('output')!, output, overwrite)
      : RunFolder.resume(given.get('resume')!, resume);
  if (folder.replacesEarlier) {
    console.note(
      `${folder.path}: the earlier run stays until this one is done in ${folder.current}`,
    );
  }
  interruption.signal.addEventListener('abort', () =>
    console.note('stopping after this batch; once more, and the process ends at once'),
  );
  return interruption.stopTidily(async () => {
    const outcome = await runIn(folder, context, async () => {
      folder.writeConfig(configOf(plan.settings));
      const trained = await train(plan, loaded, meter, folder, context);
      const card = cardOf(plan.settings, trained.monitor, plan.data.report);
      const {dtype} = settings;
      await folder.saveModel((target) => saveLlama(loaded.model, target, {dtype, card}));
      const trainedModel: Outcome = {
        ...{settings: plan.settings, trained, sampling: plan.sampling, report: plan.data.report},
        parameters: loaded.model.countParams(),
        seconds: (performance.now() - start) / 1000,
      };
      folder.writeReport(runRecord(trainedModel));
      return trainedModel;
    });
    return printOutcome(outcome, folder, console);
  });
}

/** Runs `body`, and ends the log of the run as it ended. */
async function runIn<T>(
  folder: RunFolder,
  {console, withFlags}: Context,
  body: () => Promise<T>,
): Promise<T> {
  try {
    const result = await body();
    folder.finish();
    return result;
  } catch (error) {
    try {
      const isStopped = error instanceof StoppedError;
      folder.stop(
        isStopped ? {state: 'interrupted'} : {state: 'failed', error: withFlags(messageOf(error))},
      );
    } catch (cause) {
      console.note(`warning: the log could not be ended: ${messageOf(cause)}`);
    }
    throw error;
  }
}

/** Checks model and data, so that errors in them are found before anything is written. */
async function makePlan(
  settings: FinetuneSettings,
  loaded: Loaded,
  context: Context,
): Promise<Plan> {
  const {model} = loaded;
  checkEmbedding(settings.embedding, model, settings.rank);
  const fitted = new FittedDefaults(context.given);
  const data = await prepareData(settings, loaded, fitted, context);
  const {steps, batchSize} = data;
  const blocks = resolveBlocks(model);
  const sizes: Sizes = {blocks: blocks.length, steps};
  const scored = {
    model,
    blocks: blocks.map(({name}) => name),
    dataset: data.training({repeat: false}),
  };
  const sampling = await chooseSampling(scoresOfRun(settings), scored, sizes, fitted, context);
  const line = fitted.line();
  if (line !== null) context.console.note(line);
  return {
    settings: {
      ...settings,
      ...{backend: loaded.backend, batchSize},
      // so that a later run has the same model
      ...(isHubName(settings.model) && {model: loaded.hubName!}),
      evaluateEvery: settings.evaluateEvery ?? Math.max(1, Math.ceil(steps / 10)),
      ...(sampling && {gamma: sampling.options.gamma, interval: sampling.options.interval}),
      ...(sampling?.tau !== undefined && {tau: sampling.tau}),
    },
    data,
    sampling,
  };
}

/** Settings with the scores that a run which goes on has computed before. */
function scoresOfRun(settings: FinetuneSettings): FinetuneSettings {
  const {resume, scores} = settings;
  if (resume === undefined || scores === 'uniform') return settings;
  const file = filesOfRun(resume).scores;
  return existsSync(file) ? {...settings, scores: file} : settings;
}

async function train(
  {settings, data, sampling}: Plan,
  {model}: Loaded,
  meter: MemoryMeter,
  folder: RunFolder,
  {console, interruption: {signal}}: Context,
): Promise<Trained> {
  const {steps} = data;
  const {
    accumulate,
    rank,
    refreshInterval,
    weightDecay,
    clipNorm,
    normGrowth,
    nonFinite,
    checkpoint,
  } = settings;
  const {optimizer, callback: layerSampling} = paperMethod(settings.method, model, {
    learningRate: learningRateOf(settings, steps),
    scale: 1, // from OwLore's published code, like the default rate
    ...{
      rank,
      refreshInterval,
      weightDecay,
      clipNorm,
      normGrowth,
      nonFinite,
      accumulate,
      checkpoint,
    },
    ...sampling?.options,
    ...trainEmbedding(settings.embedding, model, settings.method),
  });
  if (sampling?.scores) folder.writeScores(sampling.scores);
  const blocks = resolveBlocks(model).map(({name, weights}) => ({
    name,
    weights: weights.map((weight) => weight.name),
  }));
  const events = openTensorBoard(folder.tensorBoard);
  const monitor = new TrainingMonitor({
    ...{steps, accumulate, blocks, meter},
    learningRate: () => optimizer.learningRate,
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
      saveCheckpoint(target, parts, {keep: settings.keep, extra: monitor.state()}),
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
    return {monitor, blocks: blocks.map(({name}) => name)};
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
