import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import type {ModelTarget} from '../files/sink';
import {openSource} from '../files/open_source';
import type {ModelSource} from '../files/source';
import {separateProductsWith} from '../kernels/products';
import type {Layer} from '../tfjs/layer_tree';
import {checkFlag, checkKnown, checkNumber, countRange} from '../common/options';
import {createRandom} from '../common/random';
import {isKnownEngine} from '../tfjs/engine';
import {replaceMethods} from '../tfjs/methods';
import {buildSequential, listAsFrozen, listWeights, variableOf} from '../tfjs/models';
import {Adapter} from './adapter';
import {readAdapters, writeAdapters, type SaveLoraOptions} from './adapter_files';
import {resolveLoraOptions, type LoraOptions} from './lora_options';
import {markAdapted, unmarkAdapted, withLowRankProducts} from './low_rank_products';
import {
  checkRank,
  layersOf,
  matricesOf,
  targetedMatrices,
  targetModules,
  type Matrix,
} from './matrices';

const OWNER = 'applyLora';

/** The matrices that have adapters, of all models. */
const adapted = new WeakSet<tfl.LayerVariable>();

/**
 * Adapts matrices of a model by LoRA (Hu et al. 2021): each stays as it is, `W`, and a low-rank product is added to what it
 * computes, `x W + (α / rank) · dropout(x) A B`. Only A `[in, rank]` and B `[rank, out]` train from now on; all other weights of
 * the model are frozen. A starts uniform in ±1/√in and B with 0, as peft's do, so that the model computes what it did.
 *
 * ```ts
 * const lora = applyLora(model, {rank: 8, alpha: 16, targets: ['q_proj', 'v_proj']});
 * model.compile({optimizer: tf.train.adam(1e-4), loss});
 * await model.fit(x, y);
 * await lora.save('adapter'); // as peft loads it
 * lora.remove({keepMerged: true});
 * ```
 *
 * The layers' code is not changed: it works for Dense and Embedding, in nested models and wrappers too, for custom layers that
 * multiply `x W`, and for models of `loadLlama`. Compile the model afterwards.
 *
 * @param model Built, on the backend that will train it.
 * @returns What merges, saves and removes the adapters; it owns A and B until `remove`, or until the model is disposed of.
 * @throws Error that names the option if one is unknown or out of its range, if targets match nothing (it names what there is), if
 *   a matrix is smaller than the rank, or if the model has adapters already. The model is then unchanged.
 */
export function applyLora(model: tfl.LayersModel, options: LoraOptions = {}): Lora {
  const resolved = resolveLoraOptions(OWNER, options);
  checkModel(OWNER, model);
  return adapt(OWNER, model, targetedMatrices(OWNER, model, resolved.targets), resolved);
}

/** @throws Error unless a model can be given adapters. */
export function checkModel(owner: string, model: tfl.LayersModel): void {
  if (!(model instanceof tfl.LayersModel))
    throw new Error(`${owner}: model must be a tf.LayersModel of this copy of tfjs`);
  buildSequential(model);
  if (model.weights.some((weight) => adapted.has(weight)))
    throw new Error(`${owner}: the model has adapters already; remove() those first`);
  if (!isKnownEngine())
    throw new Error(
      `${owner}: tfjs-core ${tf.version_core} is built otherwise than 4.22; use 4.22`,
    );
}

/** Gives matrices of a model adapters. */
export function adapt(
  owner: string,
  model: tfl.LayersModel,
  matrices: readonly Matrix[],
  options: Required<LoraOptions>,
): Lora {
  const sizes = matrices.map(({module, weight}) => ({module, shape: weight.shape as number[]}));
  checkRank(owner, options.rank, sizes);
  const names = matrices.map(({module}) => module);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined)
    throw new Error(
      `${owner}: two matrices of the model are called '${twice}', and in a file only one could be; give one of their layers another name`,
    );
  return new Lora(owner, model, options, matrices);
}

/** The adapters of a model, made by {@link applyLora}. */
export class Lora {
  /** Options in effect; the targets as they were given. */
  readonly options: Readonly<Required<LoraOptions>>;
  /** Names of the adapted matrices, as peft's modules. */
  readonly modules: readonly string[];
  /** What peft calls them. */
  private readonly targetModules: readonly string[];
  private readonly adapters: readonly Adapter[];
  private readonly undo: Array<() => void> = [];
  private unlist: Array<() => void> = [];
  private merged = false;
  private removed = false;
  private masks = 0;

  /** @internal */
  constructor(
    private readonly owner: string,
    private readonly model: tfl.LayersModel,
    options: Required<LoraOptions>,
    matrices: readonly Matrix[],
  ) {
    const given = [
      options,
      matrices,
      ...(Array.isArray(matrices) ? (matrices as unknown[]) : [null]),
    ];
    if (!(model instanceof tfl.LayersModel) || given.some((each) => !(each instanceof Object)))
      throw new Error('Lora: is not made by new; use applyLora(model, options) or loadLora');
    this.options = options;
    this.modules = matrices.map(({module}) => module);
    const all = matricesOf(model).map(({module}) => module);
    this.targetModules = targetModules(this.modules, all);
    const {rank, alpha, seed} = options;
    const random = createRandom(seed);
    this.adapters = matrices.map((matrix) => new Adapter(matrix, rank, alpha / rank, random));
    this.undo.push(freeze(model));
    this.list();
    const listed = new Set(model.trainableWeights);
    const missing = this.adapters.find(({a}) => !listed.has(a));
    if (missing) {
      const {layer, module} = missing.matrix;
      this.dispose();
      throw new Error(
        `${owner}: the layer around '${layer.name}' does not list its weights as tfjs's wrappers do, so that nothing would train ` +
          `what is added to '${module}'; leave it out of targets`,
      );
    }
    for (const adapter of this.adapters) this.undo.push(watchMatrix(adapter));
    for (const layer of new Set(matrices.map((matrix) => matrix.layer))) {
      this.undo.push(this.addProducts(layer));
    }
    this.undo.push(this.saveMerged());
  }

  /** Whether the products are in the model's own matrices; false once they are removed. */
  get isMerged(): boolean {
    return this.merged;
  }

  /** A and B by the name of the module, `[in, rank]` and `[rank, out]`; they stay the adapters'. */
  get weights(): ReadonlyMap<string, {a: tf.Variable; b: tf.Variable}> {
    return new Map(
      this.adapters.map(({matrix, a, b}) => [matrix.module, {a: variableOf(a), b: variableOf(b)}]),
    );
  }

  /** How many masks of dropout were drawn; set it, with the weights, to go on from a checkpoint exactly. */
  get dropoutMasks(): number {
    return this.masks;
  }

  set dropoutMasks(count: number) {
    checkNumber('Lora', 'dropoutMasks', count, countRange);
    this.masks = count;
  }

  /**
   * Puts `W + (α / rank) A B` in the place of each W, for a model that is as fast as it was: generation, evaluation and saving
   * see an ordinary model. The former values stay in memory until {@link Lora.unmerge} or {@link Lora.remove}. A and B do not train while
   * they are merged.
   *
   * @throws Error if they are merged already, or removed, or if there is no memory for the sums; nothing is changed then.
   */
  merge(): void {
    this.checkThere();
    if (this.merged)
      throw new Error('Lora.merge: the adapters are merged already; unmerge() first');
    try {
      this.adapters.forEach((adapter) => adapter.merge());
    } catch (error) {
      this.adapters.forEach((adapter) => adapter.unmerge());
      throw error;
    }
    this.merged = true;
    this.delist();
  }

  /**
   * Gives each W the values back that it had before {@link Lora.merge}, to the last bit.
   *
   * @throws Error if they are not merged, or removed.
   */
  unmerge(): void {
    this.checkThere();
    if (!this.merged) throw new Error('Lora.unmerge: the adapters are not merged; merge() first');
    this.adapters.forEach((adapter) => adapter.unmerge());
    this.merged = false;
    this.list();
  }

  /**
   * Takes the adapters off and frees them. Every weight is as trainable as before {@link applyLora}; compile the model again
   * before it is trained further. A second call does nothing.
   *
   * @param options.keepMerged The matrices keep the sum (peft's `merge_and_unload`); default false: their own values.
   * @throws Error if an option is unknown or wrong; nothing is changed then.
   */
  remove(options: {keepMerged?: boolean} = {}): void {
    checkKnown('Lora.remove', options, ['keepMerged']);
    const {keepMerged = false} = options;
    checkFlag('Lora.remove', 'keepMerged', keepMerged);
    if (this.removed) return;
    if (keepMerged && !this.merged) this.merge();
    if (this.merged && !keepMerged) this.adapters.forEach((adapter) => adapter.unmerge());
    this.delist();
    for (const undo of this.undo.splice(0).reverse()) undo();
    this.end();
  }

  /** As {@link Lora.remove}; for a model that was disposed of, it frees what the model did not. */
  dispose(): void {
    const isGone = this.adapters.some(({matrix}) => variableOf(matrix.weight).isDisposed);
    if (!isGone) {
      this.remove();
      return;
    }
    this.end();
  }

  /**
   * Writes the adapters in peft's format: `adapter_config.json` and `adapter_model.safetensors`. For a model of `loadLlama` the
   * names are those of peft, whose `PeftModel.from_pretrained` loads the folder.
   *
   * @param target A folder (in Node), a `FileSystemDirectoryHandle`, or a map that takes the files.
   * @throws Error if an option is wrong, if the adapters are removed, or if the files cannot be written.
   */
  async save(target: ModelTarget, options: SaveLoraOptions = {}): Promise<void> {
    this.checkThere();
    await writeAdapters(target, this.adapters, this.targetModules, this.options, options);
  }

  /**
   * Reads adapters in peft's format into these.
   *
   * @param source A folder (in Node), the URL or `FileSystemDirectoryHandle` of one, or files by name.
   * @throws Error if they are of another kind, model, rank, alpha or shape; nothing is changed then.
   */
  async load(source: ModelSource): Promise<void> {
    this.checkLoads();
    const {tensors, options} = await readAdapters('Lora.load', openSource('Lora.load', source));
    this.checkLoads(); // what was there when the file was opened may be gone
    this.assign('Lora.load', tensors, options);
  }

  /** @internal What `load` does with what was read. */
  assign(
    owner: string,
    tensors: Awaited<ReturnType<typeof readAdapters>>['tensors'],
    {rank, alpha}: {rank: number; alpha: number},
  ): void {
    const own = this.options;
    const fail = (what: string): never => {
      throw new Error(`${owner}: ${what}; nothing was changed`);
    };
    if (rank !== own.rank || alpha !== own.alpha) {
      fail(
        `the file has rank ${rank} and alpha ${alpha}, and these adapters ${own.rank} and ${own.alpha}`,
      );
    }
    const other = [...tensors.keys()].find((module) => !this.modules.includes(module));
    if (other !== undefined)
      fail(`the file has an adapter for '${other}', and this model has none there`);
    for (const {matrix, a, b} of this.adapters) {
      const {module} = matrix;
      const found = tensors.get(module) ?? fail(`the file has no adapter for '${module}'`);
      for (const [part, {shape}] of [
        ['A', a],
        ['B', b],
      ] as const) {
        const is = found[part].shape;
        if (tf.util.arraysEqual(is, shape as number[])) continue;
        fail(
          `'${module}' has ${part} of shape [${is.join(', ')}] in the file, and [${shape.join(', ')}] in this model`,
        );
      }
    }
    for (const {matrix, a, b} of this.adapters) {
      const found = tensors.get(matrix.module)!;
      tf.tidy(() => {
        variableOf(a).assign(tf.tensor(found.A.values, found.A.shape));
        variableOf(b).assign(tf.tensor(found.B.values, found.B.shape));
      });
    }
  }

  private end(): void {
    this.adapters.forEach((adapter) => adapter.dispose());
    [this.merged, this.removed] = [false, true];
  }

  private checkThere(): void {
    if (this.removed) throw new Error('Lora: the adapters were removed; call applyLora again');
  }

  private checkLoads(): void {
    this.checkThere();
    if (this.merged) throw new Error('Lora.load: the adapters are merged; unmerge() first');
  }

  /** What tfjs says of a model without a weight to train names no adapter. */
  private checkTrains(): void {
    if (this.model.trainableWeights.length > 0) return;
    throw new Error(
      'Lora: the adapters are merged, so that nothing of the model trains; unmerge() before training',
    );
  }

  /**
   * Has the layers list A and B among their weights, so that tfjs trains them, and marks W, so that no fused kernel computes a
   * product with W without the adapter.
   */
  private list(): void {
    this.unlist = this.adapters.flatMap(({matrix, a, b}) => [
      listWeights(matrix.layer, [a, b]),
      separateProductsWith(matrix.weight),
    ]);
  }

  private delist(): void {
    for (const undo of this.unlist.splice(0)) undo();
  }

  /** Has a layer add the low-rank products when it is called. */
  private addProducts(layer: Layer): () => void {
    const call = layer.call.bind(layer);
    const {dropout: rate, seed} = this.options;
    const dropout = {rate, seed, nextMask: () => this.masks++};
    return replaceMethods(layer, {
      call: (inputs: tf.Tensor | tf.Tensor[], kwargs: Record<string, unknown>) => {
        const body = (): tf.Tensor | tf.Tensor[] => call(inputs, kwargs);
        if (this.merged) {
          if (kwargs?.training) this.checkTrains();
          return body();
        }
        const inTraining = kwargs?.training ? dropout : null;
        return withLowRankProducts(this.owner, layer.name, inTraining, body);
      },
    });
  }

  /**
   * Has `model.save` write the merged model: with A and B among its weights, tfjs could not load it. The optimizer's state is of A and B,
   * and of no use to it.
   */
  private saveMerged(): () => void {
    const {model} = this;
    const save = model.save.bind(model);
    return replaceMethods(model, {
      save: async (...args: Parameters<typeof save>) => {
        if (args[1]?.includeOptimizer)
          throw new Error(
            'Lora: model.save writes the merged model, without the state that the optimizer has of the adapters; leave includeOptimizer ' +
              'out, or keep the training by saveCheckpoint',
          );
        if (this.merged) return save(...args);
        this.merge();
        try {
          return await save(...args);
        } finally {
          // unless it was made for good meanwhile
          if (this.merged) this.unmerge();
        }
      },
    });
  }
}

/** Has the tensors that a layer reads of a matrix known as adapted. */
function watchMatrix(adapter: Adapter): () => void {
  const {weight} = adapter.matrix;
  const read = weight.read.bind(weight);
  const putBack = replaceMethods(weight, {read: () => markAdapted(read(), adapter)});
  adapted.add(weight);
  return () => {
    adapted.delete(weight);
    putBack();
    unmarkAdapted(variableOf(weight));
  };
}

/**
 * Freezes all weights of a model, but no layer, so that weights which are added can train.
 *
 * @returns A function that makes layers and weights as trainable as they were.
 */
function freeze(model: tfl.LayersModel): () => void {
  const before = model.weights.map((weight) => [weight, weight.trainable] as const);
  const undo = [model, ...layersOf(model).map(({layer}) => layer)].map(listAsFrozen);
  for (const [weight] of before) weight.trainable = false;
  return () => {
    for (const each of undo) each();
    for (const [weight, trainable] of before) weight.trainable = trainable;
  };
}
