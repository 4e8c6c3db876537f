/** Refuses a run of `tfjs-owlore finetune` that cannot fit into memory, before it loads anything. */
import {estimateMemory, type EstimateOptions} from '../memory/estimate/index';
import {maxBatchSize} from '../memory/estimate/options';
import type {Context} from './command';
import {contentsOf} from './data_contents';
import {estimateOptionsOf, hasRank} from './estimate_options';
import type {FinetuneSettings} from './finetune_options';
import {flagsOf, MemoryFit} from './memory_fit';
import {bytesText, leastMemoryFor, memoryFor, memoryLimit, type MemoryLimit} from '../memory/limit';
import type {OpenedModel} from './model_options';
import type {BackendName} from './register_backend';
import {UsageError} from './usage_error';

type Settings = FinetuneSettings & {backend: BackendName};

/**
 * Estimates the run, and notes it if it may not fit.
 *
 * @throws UsageError if it cannot fit, even if the estimate is as much too high as it can be.
 */
export async function checkMemory(
  settings: Settings,
  {configJson: config, config: described}: Pick<OpenedModel, 'configJson' | 'config'>,
  {console}: Context,
  limit: MemoryLimit | null = memoryLimit(settings.backend),
): Promise<void> {
  // the memory of PyTorch's processes is not estimated
  if (!limit || settings.engine !== 'tfjs') return;
  const {backend, data, fields, packing, force, resume} = settings;
  let options = estimateOptionsOf(settings, described);
  // more is never there, nor can it be estimated
  options.batchSize = Math.min(options.batchSize, maxBatchSize(options.maxLength));
  const total = (): number | null => attempt(() => estimateMemory(config, options).total);
  const isTooMuch = (tensors: number): boolean => leastMemoryFor(backend, tensors) > limit.bytes;
  let tensors = total();
  if (tensors !== null && isTooMuch(tensors) && !packing && resume === undefined) {
    // fewer examples make smaller batches
    const {examples} = await contentsOf(data, fields, console);
    options = {...options, batchSize: Math.max(1, Math.min(options.batchSize, examples))};
    tensors = total();
  }
  // an option that is wrong is reported elsewhere
  if (tensors === null) return;
  const needed = memoryFor(backend, tensors);
  if (needed <= limit.bytes) return;
  if (resume !== undefined) {
    const what = `the run in ${resume} has steps of some ${bytesText(tensors)} of tensors, and ${limit.what} is ${bytesText(limit.bytes)}`;
    if (force || !isTooMuch(tensors)) {
      console.note(`${what}: it may not fit`);
      return;
    }
    throw new UsageError(
      `finetune: ${what}: it cannot go on here; go on on a machine with more, or with --force`,
    );
  }
  const has = `a step takes some ${bytesText(tensors)} of tensors, and ${limit.what} is ${bytesText(limit.bytes)}`;
  const fit = new MemoryFit(
    config,
    options,
    described,
    // an adapter that is there has its own
    settings.adapter === undefined && hasRank(settings),
    (bytes) => memoryFor(backend, bytes) <= limit.bytes,
  );
  const nearest = await fit.nearest();
  const wayOut = nearest
    ? `${flagsOf(nearest)} fits`
    : ['no gamma, rank or batch fits', ...furtherWays(settings, options)].join(', but perhaps ');
  if (force || !isTooMuch(tensors)) {
    console.note(`${has}: it may not fit; ${wayOut}`);
    return;
  }
  throw new UsageError(`finetune: this run cannot fit: ${has}; ${wayOut}, or go on with --force`);
}

/** Options that save memory and are not in use. */
function furtherWays(settings: Settings, {embedding, frozenDtype}: EstimateOptions): string[] {
  const ways = [
    ...(settings.gradientCheckpointing === 'none' ? ['--gradient-checkpointing auto'] : []),
    ...(embedding !== undefined && embedding !== 'frozen' ? ['--embedding frozen'] : []),
    ...(frozenDtype === 'F32' ? ['--frozen-dtype BF16'] : []),
  ];
  return ways.length === 0 ? [] : [ways.join(' or ')];
}

/** What `f` gives; null if it throws. */
function attempt<T>(f: () => T): T | null {
  try {
    return f();
  } catch {
    return null;
  }
}
