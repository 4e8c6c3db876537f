import type * as tf from '@tensorflow/tfjs-core';
import {
  nativeInputs,
  runOps,
  type KernelRunner,
  type NativeInputs,
  type NativeKernel,
} from './kernel';
import {NativeOps, type Native, type NodeBackend} from './native_ops';
import {RecordingOps, type Graph} from './recording_ops';
import {loadGraphs, type LoadedGraph} from './saved_model';

/** After this many runs with the same input shapes a graph is made: making it costs what some dozen runs of it save. */
const RUNS_BEFORE_GRAPH = 16;

/** How many combinations of shapes and attributes are remembered for a kernel: those that were used last. */
const MAX_REMEMBERED = 32;

/** A kernel with inputs of certain shapes and certain attributes. */
interface Usage {
  /** How often it ran op by op; from `runsBefore` on it runs as a graph. */
  runs: number;
  graph?: Graph;
  loaded?: LoadedGraph;
}

/**
 * By input the axis of which a kernel may have any length in the same graph: no constant that it makes depends on that length, nor
 * does the choice of its ops.
 */
export type FreeAxes = Readonly<Record<string, number>>;

/** What tells a kernel's usages apart, as plain JSON; a free axis has the length −1. */
interface UsageKey {
  inputs: Array<[name: string, dtype: number, shape: readonly number[]]>;
  attrs: unknown;
}

/**
 * How often kernels ran, as plain JSON. Graphs may round in another way than the ops one by one; kernels that go on from the same
 * history round in the same way.
 */
export interface GraphsHistory {
  /** Whether they ran on a GPU, where they never become graphs. */
  isOnGpu: boolean;
  /** Whether TensorFlow failed to load a graph, so that all kernels run op by op. */
  isRefused: boolean;
  /** The usages by the names of the kernels, the one that was used last at the end. */
  kernels: Record<string, Array<UsageKey & {runs: number}>>;
}

/**
 * Runs kernels as TensorFlow graphs, once they have run often enough with inputs of the same shapes. In a graph TensorFlow fuses
 * ops, works on several at a time, and reuses the memory of tensors that no later op reads; with ops that come one by one it can
 * do none of that.
 */
export class KernelGraphs {
  private readonly kernels = new Map<string, NativeKernel<unknown>>();
  private readonly freeAxes = new Map<string, FreeAxes>();
  /** What runs kernels until they have a graph, other than their ops one by one. */
  private readonly untilGraph = new Map<string, KernelRunner<unknown>>();
  private readonly usages = new Map<string, Map<string, Usage>>();
  /** Usages with a graph that is not loaded yet. They are loaded together, because TensorFlow logs the loading of each model. */
  private waiting: Usage[] = [];
  /** Whether TensorFlow failed to load a graph; then no graphs are used. */
  private isRefused = false;

  constructor(private readonly runsBefore = RUNS_BEFORE_GRAPH) {}

  /**
   * Turns a kernel into a function that tfjs can register. A history knows the kernel by its name.
   *
   * @param untilGraph Computes the same until there is a graph; default: the kernel's ops one by one.
   */
  kernelFunc<Attrs>(
    name: string,
    kernel: NativeKernel<Attrs>,
    freeAxes: FreeAxes = {},
    untilGraph?: KernelRunner<Attrs>,
  ): tf.KernelFunc {
    const run = this.runner(name, kernel, freeAxes, untilGraph);
    return ({inputs, backend, attrs}) => {
      const native = backend as NodeBackend;
      const results = run(native, nativeInputs(native, inputs), attrs as Attrs);
      return results.map((x) => native.createOutputTensor(x));
    };
  }

  /** A function that runs a kernel; its inputs are float32 or int32. */
  runner<Attrs>(
    name: string,
    kernel: NativeKernel<Attrs>,
    freeAxes: FreeAxes = {},
    untilGraph?: KernelRunner<Attrs>,
  ): KernelRunner<Attrs> {
    this.kernels.set(name, kernel as NativeKernel<unknown>);
    this.freeAxes.set(name, freeAxes);
    if (untilGraph) this.untilGraph.set(name, untilGraph as KernelRunner<unknown>);
    return (backend, inputs, attrs) => this.run(backend, name, inputs, attrs);
  }

  /** How often the kernels ran until now. */
  history({isUsingGpuDevice: isOnGpu}: NodeBackend): GraphsHistory {
    const usagesOf = (usages: ReadonlyMap<string, Usage>): Array<UsageKey & {runs: number}> =>
      Array.from(usages, ([key, {runs}]) => ({...(JSON.parse(key) as UsageKey), runs}));
    const entries = Array.from(this.usages, ([name, usages]) => [name, usagesOf(usages)] as const);
    return {isOnGpu, isRefused: this.isRefused, kernels: Object.fromEntries(entries)};
  }

  /**
   * Goes on from a history in place of its own: what ran as a graph does so from its next run on, and all else counts on.
   *
   * @param history May come from a stranger's file.
   * @returns whether kernels will run as where the history comes from. They do not if one of both is a GPU, or if it is not of these
   *   kernels; then all begin anew.
   */
  restore(backend: NodeBackend, history: unknown): boolean {
    this.dispose();
    this.isRefused = false;
    if (!isHistory(history)) return false;
    const {isOnGpu, isRefused, kernels} = history;
    if (isOnGpu !== backend.isUsingGpuDevice) return false;
    this.isRefused = isRefused; // then nothing was counted any more
    if (isRefused) return true;
    const names = Object.keys(kernels);
    if (!names.every((name) => this.kernels.has(name))) return false;
    for (const name of names) {
      for (const {inputs, attrs, runs} of kernels[name]!) {
        this.usageOf(name, {inputs, attrs}).runs = runs;
      }
    }
    return true;
  }

  /** Frees the graphs. */
  dispose(): void {
    for (const usages of this.usages.values()) {
      for (const key of usages.keys()) this.forget(usages, key);
    }
    this.usages.clear();
  }

  private run(backend: NodeBackend, name: string, inputs: NativeInputs, attrs: unknown): Native[] {
    const kernel = this.kernels.get(name)!;
    // On a GPU, tensors would go to and from a graph by way of the host.
    if (this.isRefused || backend.isUsingGpuDevice) {
      return runOps(kernel, new NativeOps(backend), inputs, attrs);
    }
    const shapes = shapesOf(inputs, this.freeAxes.get(name)!);
    const usage = this.usageOf(name, {
      inputs: Object.entries(inputs).map(([input, {dtype}]) => [input, dtype, shapes[input]!]),
      attrs,
    });
    if (usage.graph) this.loadWaiting(backend);
    if (usage.loaded) return runGraph(usage.loaded, inputs);
    const wasGraph = usage.runs >= this.runsBefore;
    if (!wasGraph) usage.runs++;
    if (usage.runs < this.runsBefore) {
      const run = this.untilGraph.get(name);
      return run
        ? run(backend, inputs, attrs)
        : runOps(kernel, new NativeOps(backend), inputs, attrs);
    }
    const ops = new RecordingOps(backend, inputs, shapes);
    const record = (): Native[] => {
      const results = runOps(kernel, ops, ops.inputs, attrs);
      usage.graph = ops.graphOf(results);
      this.waiting.push(usage);
      return results;
    };
    if (!wasGraph) return record();
    // It ran as a graph where its history comes from: these results may be rounded in another way, and are only made for their ops.
    ops.scope(() => void record());
    return this.run(backend, name, inputs, attrs);
  }

  private usageOf(name: string, {inputs, attrs}: UsageKey): Usage {
    const usages = this.usages.get(name) ?? new Map<string, Usage>();
    this.usages.set(name, usages);
    const key = JSON.stringify({inputs, attrs});
    const usage = usages.get(key) ?? {runs: 0};
    // The last one is the one that was used last.
    usages.delete(key);
    usages.set(key, usage);
    if (usages.size > MAX_REMEMBERED) this.forget(usages, usages.keys().next().value!);
    return usage;
  }

  private forget(usages: Map<string, Usage>, key: string): void {
    const usage = usages.get(key)!;
    usages.delete(key);
    this.waiting = this.waiting.filter((other) => other !== usage);
    if (!usage.loaded) return;
    const {model} = usage.loaded;
    model.graphs--;
    if (model.graphs === 0) model.binding.deleteSavedModel(model.id);
  }

  /** Loads all waiting graphs; if that fails, kernels run op by op from then on. */
  private loadWaiting({binding}: NodeBackend): void {
    const {waiting} = this;
    if (waiting.length === 0) return;
    this.waiting = [];
    try {
      const graphs = waiting.map(({graph}) => graph!);
      const loaded = loadGraphs(binding, graphs);
      waiting.forEach((usage, i) => (usage.loaded = loaded[i]));
    } catch (error) {
      this.isRefused = true;
      // for example because there is no place for files
      console.warn(
        `tfjs-owlore: TensorFlow cannot load the graphs of kernels, so that they run op by op, which takes longer: ${String(error)}`,
      );
    }
    for (const usage of waiting) usage.graph = undefined;
  }
}

/** The shapes of the inputs in a graph. */
function shapesOf(inputs: NativeInputs, freeAxes: FreeAxes): Record<string, readonly number[]> {
  const entries = Object.entries(inputs).map(([name, {shape}]) => {
    const free = freeAxes[name];
    return [name, free === undefined ? shape : shape.map((n, axis) => (axis === free ? -1 : n))];
  });
  return Object.fromEntries(entries) as Record<string, readonly number[]>;
}

function runGraph({model, inputs, outputs}: LoadedGraph, tensors: NativeInputs): Native[] {
  const ids = Object.values(tensors).map(({id}) => id);
  return model.binding.runSavedModel(model.id, ids, inputs, outputs);
}

function isHistory(value: unknown): value is GraphsHistory {
  const flags = isObject(value) ? [value['isOnGpu'], value['isRefused']] : [];
  if (!isObject(value) || !flags.every((flag) => typeof flag === 'boolean')) return false;
  const {kernels} = value;
  return (
    isObject(kernels) &&
    Object.values(kernels).every((usages) => Array.isArray(usages) && usages.every(isUsage))
  );
}

function isUsage(value: unknown): boolean {
  if (!isObject(value) || !Array.isArray(value['inputs'])) return false;
  const {runs} = value;
  return Number.isSafeInteger(runs) && (runs as number) >= 0;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
