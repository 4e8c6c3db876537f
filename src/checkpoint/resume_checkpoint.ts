import * as tf from '@tensorflow/tfjs-core';
import {show} from '../files/json';
import {parseSafetensors, type HostTensor} from '../files/safetensors';
import type {ModelTarget} from '../files/sink';
import {restoreKernelHistory} from '../kernels/kernel_history';
import {allLayers} from '../tfjs/layer_tree';
import {checkChoice, checkKnown, cut, display} from '../common/options';
import {rememberCheckpoint} from '../owlore/optimizer/step/lost_device';
import {HALVINGS, variableOfSaved} from '../owlore/optimizer/state/saved_names';
import type {NamedTensor} from '../owlore/optimizer/state/variables';
import type {LearningRate} from '../owlore/optimizer/schedule';
import {setValue} from '../model/packed_weight';
import {drawsWithoutSeed} from '../tfjs/random_layers';
import {checkFits, type Candidate} from './check_fits';
import {rememberPresent} from './known_checkpoints';
import {
  FUNCTION,
  ifGood,
  listManifests,
  maxBytesOf,
  readChecked,
  readManifest,
  type Manifest,
  type ManifestFile,
} from './manifest';
import {
  checkParts,
  layerWeights,
  placeOfFile,
  type CheckpointParts,
  type LayerWeights,
} from './parts';
import {rememberPlace} from './place_in_epoch';

/** Options of {@link resumeCheckpoint}. */
export interface ResumeCheckpointOptions {
  /** Which one: the one that was saved last, or the one with the lowest `metric`. Default `'newest'`. */
  which?: 'newest' | 'best';
}

/** Where a training goes on. */
export interface ResumedCheckpoint {
  /** The file of the checkpoint. */
  path: string;
  /** Steps of the optimizer that are done. */
  step: number;
  /** Epochs of `fit` that are complete: its `initialEpoch`. */
  epoch: number;
  /** Batches of the next epoch that are done. Data that know their place go on after them. */
  batches: number;
  /** The `metric` that was saved; null if none was. */
  metric: number | null;
  /** The `extra` that was saved; null if nothing was. */
  extra: unknown;
}

const OWNER = 'resumeCheckpoint';

/**
 * Goes on from the newest checkpoint of `saveCheckpoint`: puts the weights into the model, and gives optimizer, callback and data
 * the state that they had. These must be made as for the first run, with the same options; `learningRate` is restored, too.
 *
 * ```ts
 * const resumed = await resumeCheckpoint('run/checkpoints', {model, optimizer, callback, data});
 * console.log(resumed ? `going on from step ${resumed.step}` : 'starting anew');
 * ```
 *
 * Every file is checked first. If the newest checkpoint is damaged, a warning says so and what is wrong, and the one before it is
 * taken. Where the training that goes on may differ from one that had not stopped (another backend, dropout without a seed),
 * a warning says that, too. docs/checkpoints.md has all that an exact resume needs.
 *
 * @param source The target of `saveCheckpoint`.
 * @returns null if there is no checkpoint; nothing is changed then.
 * @throws Error if the checkpoint is of another model, optimizer, callback, data or version of the format, if options differ, or if
 *   all checkpoints, or 16 of them, are damaged; nothing is changed then.
 */
export async function resumeCheckpoint(
  source: ModelTarget,
  parts: CheckpointParts,
  options: ResumeCheckpointOptions = {},
): Promise<ResumedCheckpoint | null> {
  const found = await findCheckpoint(source, parts, options);
  if (found === null) return null;
  const {path, manifest} = found;
  const layers = layerWeights(OWNER, parts.model);
  await apply(source, {path, manifest}, parts, layers);
  rememberCheckpoint(parts.optimizer, placeOfFile(source, path));
  restoreKernels(manifest, parts);
  const {step, epoch, batches, metric, extra} = manifest;
  rememberPlace(parts.optimizer, {epoch, batches});
  return {path, step, epoch, batches, metric, extra};
}

/**
 * The checkpoint that {@link resumeCheckpoint} would go on from, whose files have all been checked; null if there is none. Changes
 * nothing in the training, but from now on what is in `source` is its own, and what another process adds is not.
 *
 * @throws as {@link resumeCheckpoint}, but for what only taking over its state shows.
 */
export async function findCheckpoint(
  source: ModelTarget,
  parts: CheckpointParts,
  options: ResumeCheckpointOptions = {},
): Promise<Candidate | null> {
  checkParts(OWNER, parts);
  checkKnown(OWNER, options, ['which']);
  const {which = 'newest'} = options;
  checkChoice(OWNER, 'which', which, ['newest', 'best']);
  const layers = layerWeights(OWNER, parts.model);
  await parts.optimizer.ready();
  const listed = await listManifests(OWNER, source);
  const found =
    listed.length === 0
      ? null
      : await findGood(source, listed, which, async (candidate) => {
          checkFits(OWNER, candidate, parts, layers);
          await checkFiles(source, candidate.manifest, layers);
        });
  await rememberPresent(parts.optimizer, source, listed);
  return found;
}

/** The checkpoint to go on from: of those listed the first, or the best, for which `check` does not find a damage. */
async function findGood(
  source: ModelTarget,
  listed: readonly ManifestFile[],
  which: 'newest' | 'best',
  check: (candidate: Candidate) => Promise<void>,
): Promise<Candidate> {
  const damages: string[] = [];
  async function* candidates(): AsyncGenerator<Candidate> {
    const all: Candidate[] = [];
    for (const file of listed) {
      const manifest = await ifGood(OWNER, file.path, damages, () =>
        readManifest(OWNER, source, file),
      );
      if (!manifest) continue;
      if (which === 'newest') yield {path: file.path, manifest};
      else if (manifest.metric !== null) all.push({path: file.path, manifest});
    }
    yield* all.sort((a, b) => a.manifest.metric! - b.manifest.metric!);
  }
  for await (const candidate of candidates()) {
    const {path, manifest} = candidate;
    const isGood = await ifGood(OWNER, path, damages, () => check(candidate).then(() => true));
    if (!isGood) continue;
    if (damages.length > 0) {
      console.warn(`${OWNER}: ${damages.join('; ')}. Going on from ${path}, step ${manifest.step}`);
    }
    return candidate;
  }
  throw new Error(
    damages.length > 0
      ? `${OWNER}: there is no good checkpoint; nothing was changed. ${damages.join('; ')}`
      : `${OWNER}: no checkpoint has a metric, so none is the best; leave out which: 'best'`,
  );
}

/** Throws if a file is damaged, or has other weights than the model. */
async function checkFiles(
  source: ModelTarget,
  {model, optimizer}: Manifest,
  layers: readonly LayerWeights[],
): Promise<void> {
  for (const [i, layer] of layers.entries()) await readLayer(source, model[i]!, layer);
  for (const file of optimizer.files) {
    await readChecked(OWNER, source, file, maxStateBytes(layers));
  }
}

/** Takes over a checkpoint whose files have all been checked. What can fail comes before the first change that stays. */
async function apply(
  source: ModelTarget,
  {path, manifest}: Candidate,
  {optimizer, callback, data}: CheckpointParts,
  layers: readonly LayerWeights[],
): Promise<void> {
  const {optimizer: saved, callback: sampling, data: place, model} = manifest;
  const {learningRate} = saved.settings;
  const names = new Map(
    layers.flatMap(({variables}, i) =>
      variables.map((variable, j) => [model[i]!.weights[j]!, variable.name] as const),
    ),
  );
  const state = await readState(source, saved, names, maxStateBytes(layers));
  const undo: Array<() => void> = [];
  try {
    await inFile(path, () => {
      if (!data) return;
      const before = structuredClone(data.state());
      data.restore(place);
      undo.push(() => data.restore(before));
    });
    await inFile(path, () => {
      if (!sampling) return;
      const before = callback!.getState();
      callback!.setState(sampling.state);
      undo.push(() => callback!.setState(before));
    });
    await inFile(saved.files.join(', '), () => optimizer.setWeights(state));
    if (learningRate !== FUNCTION) {
      optimizer.learningRate = learningRate as LearningRate;
      // a rate that is set forgets what halved the one before it
      if (HALVINGS in saved.counters) await optimizer.setWeights(state);
    }
  } catch (error) {
    for (const change of undo) change();
    throw error;
  } finally {
    tf.dispose(state.map(({tensor}) => tensor));
  }
  await restoreWeights(source, model, layers);
}

/**
 * Puts the weights of a checkpoint into a model.
 *
 * @param saved The layers in the checkpoint, those of `layers` one by one.
 * @throws if a file is damaged, or has other weights than its layer; those of the layers before it are in the model then.
 */
export async function restoreWeights(
  source: ModelTarget,
  saved: Manifest['model'],
  layers: readonly LayerWeights[],
): Promise<void> {
  for (const [i, layer] of layers.entries()) {
    const values = await readLayer(source, saved[i]!, layer);
    layer.weights.forEach((weight, j) => {
      const onHost = values[j]!.values;
      const tensor = tf.tensor(onHost, weight.shape as number[]);
      setValue(weight, tensor, onHost);
      tensor.dispose();
    });
  }
}

/** The weights of a layer, in its order. They are read again for each use, so that no more than one layer is in memory. */
async function readLayer(
  source: ModelTarget,
  {weights, file}: Manifest['model'][number],
  {layer, variables}: LayerWeights,
): Promise<HostTensor[]> {
  const tensors = await readTensors(source, file, maxBytesOf(sizeOf(variables)));
  const fail = (what: string): never => {
    throw new Error(`${OWNER}: ${file} ${what}; nothing was changed`);
  };
  if (weights.length !== variables.length) {
    fail(
      `is of another model: it has ${weights.length} weights of layer '${layer}', where this model has ${variables.length}`,
    );
  }
  const other = [...tensors.keys()].find((name) => !weights.includes(name));
  if (other !== undefined) fail(`has ${show(other)}, which is no weight of layer '${layer}'`);
  return weights.map((name, i) => {
    const [tensor, {shape}] = [tensors.get(name), variables[i]!];
    if (!tensor) return fail(`lacks the weight ${show(name)} of layer '${layer}'`);
    if (tf.util.arraysEqual(tensor.shape, shape)) return tensor;
    return fail(
      `is of another model: in layer '${layer}' the weight '${name}' has the shape [${cut(String(tensor.shape))}], where ` +
        `this model has [${shape}]`,
    );
  });
}

/** The tensors of a file, by name. */
async function readTensors(
  source: ModelTarget,
  file: string,
  maxBytes: number,
): Promise<Map<string, HostTensor>> {
  const bytes = await readChecked(OWNER, source, file, maxBytes);
  try {
    return parseSafetensors(bytes).tensors;
  } catch (error) {
    throw errorInFile(file, error);
  }
}

/** Numbers in variables. */
function sizeOf(variables: readonly tf.Variable[]): number {
  return variables.reduce((sum, {size}) => sum + size, 0);
}

/** The most bytes of the optimizer's state: two moments and a sum for each weight, and a basis, which is smaller than it. */
function maxStateBytes(layers: readonly LayerWeights[]): number {
  return maxBytesOf(4 * sizeOf(layers.flatMap(({variables}) => variables)));
}

/** Runs `take`; an error of the part that refuses what the file has names the file. */
async function inFile(file: string, take: () => void | Promise<void>): Promise<void> {
  try {
    await take();
  } catch (error) {
    throw errorInFile(file, error);
  }
}

function errorInFile(file: string, error: unknown): Error {
  return new Error(`${OWNER}: ${file}: ${(error as Error).message}`, {cause: error});
}

/**
 * The optimizer's state as `setWeights` takes it, under the names that this model's weights have, file after file. The caller
 * disposes of the tensors.
 *
 * @param names The names of the model's weights, by those in the checkpoint.
 * @param maxBytes Of a file.
 */
async function readState(
  source: ModelTarget,
  {counters, files}: Manifest['optimizer'],
  names: ReadonlyMap<string, string>,
  maxBytes: number,
): Promise<NamedTensor[]> {
  const state = new Map<string, tf.Tensor>();
  for (const [name, values] of Object.entries(counters)) {
    const own = ownName(name);
    // Variables of other models are listed without a state where a loop does not name its own.
    if (own === null) continue;
    state.set(own, tf.tensor(values, Array.isArray(values) ? [values.length] : [], 'int32'));
  }
  try {
    for (const file of files) {
      for (const [name, {values, shape}] of await readTensors(source, file, maxBytes)) {
        const own = ownName(name);
        if (own === null)
          throw errorInFile(
            file,
            new Error(`${show(name)} is the state of what is no weight of the model`),
          );
        if (state.has(own))
          throw errorInFile(file, new Error(`${show(name)} is there a second time`));
        state.set(own, tf.tensor(values, shape));
      }
    }
  } catch (error) {
    tf.dispose([...state.values()]);
    throw error;
  }
  return Array.from(state, ([name, tensor]) => ({name, tensor}));

  /** The name of an entry with its variable's name in this model; null if it is no variable of it. */
  function ownName(name: string): string | null {
    const variable = variableOfSaved(name);
    if (variable === null) return name;
    const own = names.get(variable);
    return own === undefined ? null : own + name.slice(variable.length);
  }
}

/** Has the kernels go on as in the checkpoint, and says why the training may differ from one that had not stopped. */
function restoreKernels({backend, kernels}: Manifest, {model}: CheckpointParts): void {
  const reasons: string[] = [];
  if (backend !== tf.getBackend()) {
    reasons.push(
      `it was saved on the backend ${display(backend)}, and this is '${tf.getBackend()}'`,
    );
  } else if (!restoreKernelHistory(kernels)) {
    reasons.push('kernels that ran as graphs, or op by op, cannot do so here');
  }
  const random = allLayers(model).filter(({layer}) => drawsWithoutSeed(layer));
  if (random.length > 0) {
    reasons.push(
      `without a seed these layers draw at random: ${random.map(({path}) => path).join(', ')}`,
    );
  }
  if (reasons.length === 0) return;
  console.warn(
    `${OWNER}: the training goes on, but not bit by bit as if it had not stopped: ${reasons.join('; ')}`,
  );
}
