/** The training of `tfjs-owlore finetune`: from a plan to a trained model, with a log, checkpoints, and a way to stop and go on. */
import {perplexity, type TextBatch} from '../llama/index';
import {endTokens} from '../llama/generation/text_stream';
import type {MemoryMeter} from '../memory/meter';
import {resolveBlocks} from '../model/blocks';
import type {Context} from './command';
import type {Engine} from './engine';
import {isFullDisk, savingOf, untilSaved} from './full_disk';
import type {FinetuneSettings} from './finetune_options';
import type {Trained} from './finetune_outcome';
import {answersOf} from './held_out_answers';
import {StoppedError} from './interruption';
import type {LoadedModel} from './model_options';
import {nextTurn} from '../common/next_turn';
import type {RunFolder} from './run_folder';
import {methodOf, type Plan} from './run_method';
import {lastingOptions} from './same_options';
import {openTensorBoard, type EventWriter} from './tensorboard';
import {tfjsEngine} from './tfjs_engine';
import {torchEngine} from './torch/engine';
import {TrainingMonitor, type LogEntry, type MonitorState} from './training_monitor';
import {messageOf} from './usage_error';
import {counted, quoted} from './words';

/** By the names that the option `engine` has for them. */
export const engines: Record<FinetuneSettings['engine'], Engine> = {
  tfjs: tfjsEngine,
  torch: torchEngine,
};

/** Trains the model, from where a run that goes on has stopped. The caller disposes of what it returns. */
export async function train(
  plan: Plan,
  loaded: LoadedModel,
  meter: MemoryMeter,
  folder: RunFolder,
  context: Context,
): Promise<Trained> {
  const {settings, data, sampling} = plan;
  const {model} = loaded;
  const {console, interruption} = context;
  const {signal} = interruption;
  const {steps} = data;
  const {accumulate, nonFinite} = settings;
  const {optimizer, callback: layerSampling, lora} = methodOf(plan, model);
  if (sampling?.scores) folder.writeScores(sampling.scores);
  const blocks = resolveBlocks(model).map(({name, weights}) => ({
    name,
    weights: weights.map((weight) => weight.name),
  }));
  let events: EventWriter | null = null;
  const toEvents = (write: (events: EventWriter) => void): void => {
    try {
      if (events) write(events);
    } catch (error) {
      events = null;
      console.note(`warning: no more events for TensorBoard: ${messageOf(error)}`);
    }
  };
  const writeEvents = (entry: LogEntry): void =>
    toEvents((open) => open.scalars(entry.step, scalarsOf(entry)));
  const log = new PatientLog(folder, console);
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
    keepBest: settings.keepBest,
    startProgress: () => console.progress({label: 'training', total: steps}),
    log: (entry) => {
      log.append(entry);
      writeEvents(entry);
      if (entry.event === 'heldOut')
        console.note(`step ${entry.step}: held-out loss ${entry.loss.toFixed(4)}`);
    },
  });
  if (layerSampling) folder.keepHistory(() => layerSampling.blockHistory);
  const training = data.training({repeat: true});
  const {tokenizer, prompts} = data;
  const asked = {...loaded, tokenizer};
  /** Has the model answer held-out prompts, unless the log has it after so many steps. */
  const answer = async (): Promise<void> => {
    if (monitor.answers.at(-1)?.step === monitor.steps.length) return;
    const answers = await answersOf({...asked, stop: endTokens(asked)}, prompts, context);
    if (answers.length > 0) monitor.recordAnswers(answers);
  };
  const goOn = async (reached: MonitorState | null): Promise<void> => {
    const state = reached ?? monitor.state();
    const kept = folder.rewindLog(state.steps);
    monitor.restore(state, kept);
    events = openTensorBoard(folder);
    kept.forEach(writeEvents);
    const where = reached ? `step ${state.steps}` : 'its beginning, for it has no checkpoint';
    console.note(`${folder.path}: the run goes on from ${where}`);
    if (state.steps === 0) await answer();
  };
  try {
    if (settings.resume === undefined) {
      events = openTensorBoard(folder);
      const adapters = prompts.length > 0 ? lora : null;
      adapters?.merge();
      await answer();
      adapters?.unmerge();
    }
    const {skippedSteps, saveCheckpoint} = await engines[settings.engine].train({
      options: lastingOptions(settings, steps),
      ...{settings, model, optimizer, callback: layerSampling, lora, data, training},
      ...{monitor, folder, context, goOn},
      save: (save) =>
        untilSaved(
          // the checkpoint of the best weights would stay behind
          savingOf(folder, settings.engine === 'tfjs' && settings.keepBest === false),
          async () => {
            // a checkpoint is of no use without the log until then
            log.flush();
            await folder.saveCheckpoint(save);
          },
          context,
        ),
      drawnAhead: () => sampling && methodOf(plan, model, steps).callback,
    });
    await untilSaved(savingOf(folder), () => log.flush(), context);
    noteKept(monitor, settings, steps, console);
    if (skippedSteps > 0)
      console.note(
        `${counted(skippedSteps, 'step')} changed nothing, by --non-finite ${nonFinite}`,
      );
    const dispose = (): void => {
      lora?.remove();
      optimizer.dispose();
    };
    return {
      ...{monitor, blocks: blocks.map(({name}) => name), lora, saveCheckpoint, dispose},
      answer: async () => {
        await answer();
        await untilSaved(savingOf(folder), () => log.flush(), context);
      },
    };
  } catch (error) {
    optimizer.dispose();
    if (error !== signal.reason) throw error;
    const {stopSignal} = error as StoppedError;
    // which is not in the folder
    const by = settings.engine === 'torch' && context.given.has('python');
    const args = `--resume ${quoted(folder.path)}${by ? ` --python ${quoted(String(settings.python))}` : ''}`;
    const goOn = monitor.batches > 0 ? `; to go on: finetune ${args}` : '';
    throw new StoppedError(stopSignal, `after step ${monitor.steps.length} of ${steps}${goOn}`);
  } finally {
    toEvents((open) => open.close());
  }
}

/** Says which step's model is kept, and why training has ended early. */
function noteKept(
  monitor: TrainingMonitor,
  {keepBest}: FinetuneSettings,
  steps: number,
  console: Context['console'],
): void {
  if (keepBest === false) return;
  const {length} = monitor.steps;
  if (length < steps) {
    console.note(
      `training ended after step ${length} of ${steps}: no lower held-out loss in ${counted(Number(keepBest), 'measurement')}`,
    );
  }
  const {step, loss} = monitor.kept;
  const before = monitor.heldOut[0]!.loss;
  const isWorse = loss > before ? `, which before training was ${before.toFixed(4)}` : '';
  console.note(`kept: the model of step ${step}, held-out loss ${loss.toFixed(4)}${isWorse}`);
}

/** The log of a run, whose lines wait in memory while the disk is full: a step is not lost by that. */
class PatientLog {
  private readonly waiting: LogEntry[] = [];

  constructor(
    private readonly folder: RunFolder,
    private readonly console: Context['console'],
  ) {}

  append(entry: LogEntry): void {
    const isFirst = this.waiting.length === 0;
    this.waiting.push(entry);
    try {
      this.flush();
    } catch (error) {
      if (!isFullDisk(error)) throw error;
      if (isFirst)
        this.console.note(`warning: the log waits for room on the disk: ${messageOf(error)}`);
    }
  }

  /** Writes what waits; throws if there is no room. */
  flush(): void {
    for (let entry; (entry = this.waiting[0]); this.waiting.shift()) this.folder.append(entry);
  }
}

/** Batches, with a pause after each in which signals can be handled; if `signal` is aborted it throws the reason. */
export async function* interruptible(
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

/** The numbers of an entry, under the names that TensorBoard shows. */
function scalarsOf(entry: LogEntry): Record<string, number> {
  if (entry.event === 'heldOut') return {'loss/heldOut': entry.loss};
  if (entry.event !== 'step') return {};
  const {loss, learningRate, blocks, seconds, peakBytes} = entry;
  return {
    'loss/train': loss,
    learningRate,
    blocksOn: blocks.length,
    secondsPerStep: seconds,
    peakBytes,
  };
}
