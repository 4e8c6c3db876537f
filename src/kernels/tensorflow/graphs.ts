import type * as tf from '@tensorflow/tfjs-core';
import {nativeInputs, runOps, type NativeInputs, type NativeKernel} from './kernel';
import {NativeOps, type Native, type NodeBackend} from './native_ops';
import {RecordingOps, type Graph} from './recording_ops';
import {loadGraphs, type LoadedGraph} from './saved_model';

/** After this many runs with the same input shapes a graph is made: making it costs what some dozen runs of it save. */
const RUNS_BEFORE_GRAPH = 16;

/** How many combinations of shapes and attributes are remembered for a kernel: those that were used last. */
const MOST_REMEMBERED = 32;

/** A kernel with inputs of certain shapes and certain attributes. */
interface Usage {
  /** How often it ran op by op. */
  runs: number;
  graph?: Graph;
  loaded?: LoadedGraph;
}

/**
 * Runs kernels as TensorFlow graphs, once they have run often enough with inputs of the same shapes. In a graph TensorFlow fuses
 * ops, works on several at a time, and reuses the memory of tensors that no later op reads; with ops that come one by one it can
 * do none of that.
 */
export class KernelGraphs {
  private readonly usages = new Map<unknown, Map<string, Usage>>();
  /** Usages with a graph that is not loaded yet. They are loaded together, because TensorFlow logs the loading of each model. */
  private waiting: Usage[] = [];
  /** Whether TensorFlow failed to load a graph; then no graphs are used. */
  private isRefused = false;

  constructor(private readonly runsBefore = RUNS_BEFORE_GRAPH) {}

  /** Turns a kernel into a function that tfjs can register. */
  kernelFunc<Attrs>(kernel: NativeKernel<Attrs>): tf.KernelFunc {
    return ({inputs, backend, attrs}) => {
      const native = backend as NodeBackend;
      const results = this.run(native, kernel, nativeInputs(native, inputs), attrs as Attrs);
      return results.map((x) => native.createOutputTensor(x));
    };
  }

  /** Frees the graphs. */
  dispose(): void {
    for (const ofKernel of this.usages.values()) {
      for (const key of ofKernel.keys()) this.forget(ofKernel, key);
    }
  }

  /** Runs a kernel; its inputs are float32 or int32. */
  run<Attrs>(
    backend: NodeBackend,
    kernel: NativeKernel<Attrs>,
    inputs: NativeInputs,
    attrs: Attrs,
  ): Native[] {
    // On a GPU, tensors would go to and from a graph by way of the host.
    if (this.isRefused || backend.isUsingGpuDevice) {
      return runOps(kernel, new NativeOps(backend), inputs, attrs);
    }
    const usage = this.usageOf(kernel, inputs, attrs);
    if (usage.graph) this.loadWaiting(backend);
    if (usage.loaded) return runGraph(usage.loaded, inputs);
    usage.runs++;
    if (usage.runs < this.runsBefore) return runOps(kernel, new NativeOps(backend), inputs, attrs);
    const ops = new RecordingOps(backend, inputs);
    const results = runOps(kernel, ops, ops.inputs, attrs);
    usage.graph = ops.graphOf(results);
    this.waiting.push(usage);
    return results;
  }

  private usageOf(kernel: unknown, inputs: NativeInputs, attrs: unknown): Usage {
    const ofKernel = this.usages.get(kernel) ?? new Map<string, Usage>();
    this.usages.set(kernel, ofKernel);
    const shapes = Object.entries(inputs).map(([name, {shape}]) => [name, shape]);
    const key = JSON.stringify([shapes, attrs]);
    const usage = ofKernel.get(key) ?? {runs: 0};
    // The last one is the one that was used last.
    ofKernel.delete(key);
    ofKernel.set(key, usage);
    if (ofKernel.size > MOST_REMEMBERED) this.forget(ofKernel, ofKernel.keys().next().value!);
    return usage;
  }

  private forget(ofKernel: Map<string, Usage>, key: string): void {
    const usage = ofKernel.get(key)!;
    ofKernel.delete(key);
    this.waiting = this.waiting.filter((other) => other !== usage);
    if (!usage.loaded) return;
    const {model} = usage.loaded;
    model.graphs--;
    if (model.graphs === 0) model.binding.deleteSavedModel(model.id);
  }

  /** Loads all waiting graphs; if that fails, kernels run op by op from then on. */
  private loadWaiting({binding}: NodeBackend): void {
    const {waiting} = this;
    this.waiting = [];
    try {
      const graphs = waiting.map(({graph}) => graph!);
      const loaded = loadGraphs(binding, graphs);
      waiting.forEach((usage, i) => (usage.loaded = loaded[i]));
    } catch {
      this.isRefused = true; // for example because there is no place for files
    }
    for (const usage of waiting) usage.graph = undefined;
  }
}

function runGraph({model, inputs, outputs}: LoadedGraph, tensors: NativeInputs): Native[] {
  const ids = Object.values(tensors).map(({id}) => id);
  return model.binding.runSavedModel(model.id, ids, inputs, outputs);
}
