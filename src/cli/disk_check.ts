/** Refuses a run of `tfjs-owlore finetune` that its disk has no room for, before it loads anything. */
import {readdir, stat, statfs} from 'node:fs/promises';
import {join, resolve} from 'node:path';
import {estimateMemory} from '../memory/estimate/index';
import {numbersIn, sizesOfModel} from '../memory/estimate/sizes';
import {paperMethods, trainsRest, type MethodParts} from '../methods';
import type {Context} from './command';
import {estimateOptionsOf} from '../memory/estimated_settings';
import type {FinetuneSettings} from './finetune_options';
import {bytesText} from '../memory/limit';
import type {OpenedModel} from './model_options';
import {isThere, nearestThere} from './options';
import type {BackendName} from './register_backend';
import {filesOfRun, KEPT_CHECKPOINTS} from './run_files';
import {dtypeIn, dtypeToSave} from './saved_dtype';
import type {TrainingData} from './training_data';
import {UsageError} from './usage_error';

type Settings = FinetuneSettings & {backend: BackendName; saveEvery: number};

/** Bytes that a run writes and has on the disk at the same time. */
interface DiskNeed {
  /** If no more than what trains in every step changes between two checkpoints. */
  min: number;
  /** If all weights do. */
  max: number;
}

/** Of log, report and the like: some for the run, and some for each step. */
const OTHERS = {run: 2 ** 20, step: 1000};

const FLOAT = 4;

/**
 * Compares what a run will write with the room on its disk, and notes it if that may not suffice.
 *
 * @param free The bytes that are free where a run writes; null: not known.
 * @throws UsageError if they cannot suffice.
 */
export async function checkDisk(
  settings: Settings,
  opened: Pick<OpenedModel, 'configJson' | 'config'>,
  data: Pick<TrainingData, 'steps' | 'heldOutExamples' | 'batchSize'>,
  {console, given}: Pick<Context, 'console' | 'given'>,
  free: (path: string) => Promise<number | null> = freeBytes,
): Promise<void> {
  const {output, resume, force} = settings;
  const room = await free(resolve(output));
  if (room === null) return;
  const {min, max} = diskNeed(settings, opened, data);
  // what a run that goes on has written takes the place of what it will write
  const there = resume === undefined ? 0 : await bytesIn(filesOfRun(resume).checkpoints);
  if (max - there <= room) return;
  const cannot = min - there > room;
  const what =
    `checkpoints and model take ${cannot ? 'at least' : 'up to'} ${bytesText((cannot ? min : max) - there)}, and ` +
    `where '${output}' is ${bytesText(room)} are free`;
  const ways = [
    ...(resume === undefined ? [`give ${given.get('output')} another disk`] : ['make room there']),
    ...(settings.saveEvery > 0 ? ['--save-every 0, without which a killed run is lost'] : []),
    ...(dtypeToSave(settings, dtypeIn(opened.configJson)) === 'F32' ? ['--dtype BF16'] : []),
  ].join(', or ');
  if (!cannot || force) console.note(`${what}: they may not suffice; ${ways}`);
  else
    throw new UsageError(
      `finetune: this run cannot be saved: ${what}; ${ways}, or go on with --force`,
    );
}

/** What a run will write. */
export function diskNeed(
  settings: Settings,
  {configJson, config}: Pick<OpenedModel, 'configJson' | 'config'>,
  {
    steps,
    heldOutExamples,
    batchSize,
  }: Pick<TrainingData, 'steps' | 'heldOutExamples' | 'batchSize'>,
): DiskNeed {
  const {method, embedding, saveEvery, keepBest, engine, accumulate} = settings;
  const {blocks, vocabulary, others} = sizesOfModel('finetune', config)!;
  const {sampling, lora = false}: MethodParts = paperMethods[method];
  const weights = FLOAT * numbersIn([...blocks.flat(), ...vocabulary, ...others]);
  const rest = trainsRest(method) && embedding !== 'frozen' ? FLOAT * numbersIn(vocabulary) : 0;
  const options = estimateOptionsOf(settings, config);
  const {state} = estimateMemory(configJson, options);
  // of which the state has two moments
  const adapters = lora ? state / 2 : 0;
  const changing = lora ? adapters : sampling ? rest : weights;
  const dtype = dtypeToSave(settings, dtypeIn(configJson));
  const model = dtype === 'F32' ? weights : weights / 2;
  // in float32 as well, if rounding turns out to cost
  const again = settings.dtype === undefined && dtype !== 'F32' ? weights : 0;
  // one is at the end; without any there may be one when the run is stopped, and then no model
  const saves = saveEvery === 0 ? 0 : Math.ceil(steps / saveEvery);
  // that of the best model is another one
  const kept = KEPT_CHECKPOINTS + (keepBest === false ? 0 : 1);
  const all = keepBest === false ? saves : steps;
  const during = Math.min(all, kept + 1);
  const atEnd = Math.min(all, kept);
  const copies = (count: number, first: number, further: number): number =>
    count === 0 ? 0 : first + (count - 1) * further;
  const rowBytes = 2 * FLOAT * options.maxLength;
  const job =
    engine === 'tfjs'
      ? 0
      : rowBytes * (steps * accumulate * batchSize + heldOutExamples) +
        (isThere('folder', settings.model) ? 0 : weights);
  const together = (first: number, further: number, model: number): number =>
    OTHERS.run +
    OTHERS.step * steps +
    job +
    Math.max(copies(during, first, further), copies(atEnd, first, further) + model + adapters);
  return {
    min: together(weights + adapters, changing, model),
    max: together(weights + adapters + state, weights + adapters + state, model + again),
  };
}

/** The bytes that this process may still write to the disk of a place, which need not be there; null where nobody can tell. */
export async function freeBytes(path: string): Promise<number | null> {
  try {
    const {bavail, bsize, blocks} = await statfs(nearestThere(path));
    return blocks === 0 ? null : bavail * bsize;
  } catch {
    return null;
  }
}

/** The bytes of the files in a folder; 0 if there is none. */
async function bytesIn(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => []);
  const sizes = names.map((name) =>
    stat(join(folder, name)).then(
      ({size}) => size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
