import type * as tf from '@tensorflow/tfjs-core';
import {nativeInputs, runOps, type NativeInputs, type NativeKernel} from './kernel';
import {NativeOps, type Native, type NodeBackend} from './native_ops';
import {RecordingOps, type Graph} from './recording_ops';
import {loadGraphs, type LoadedGraph} from './saved_model';

/** Runs with inputs of the same shapes after which a graph is worth its making, which takes as long as some dozen runs save. */
const RUNS_BEFORE_GRAPH = 16;

/** Shapes and attributes of a kernel that are remembered: those that were used last. */
const MOST_REMEMBERED = 32;

/** A kernel with inputs of certain shapes and certain attributes. */
interface Usage {
  /** Op by op. */
  runs: number;
  graph?: Graph;
  loaded?: LoadedGraph;
}

/**
 * Runs kernels as graphs of TensorFlow's, once they have run often enough with inputs of the same shapes. In a graph TensorFlow
 * fuses ops, works on several at a time, and takes the memory of what no later op reads for the next result; of ops that come
 * one by one it can do none of that.
 */
export class KernelGraphs {
  private readonly usages = new Map<unknown, Map<string, Usage>>();
  /** Have a graph that is not loaded yet. Models are to be few: TensorFlow logs the loading of each. */
  private waiting: Usage[] = [];
  /** Whether TensorFlow could not load a graph; then there are none. */
  private isRefused = false;

  constructor(private readonly runsBefore = RUNS_BEFORE_GRAPH) {}

  /** Makes of a kernel what tfjs can register. */
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
    // To and from a graph the tensors of a GPU would go by way of the host.
    if (this.isRefused || backend.isUsingGpuDevice) {
      return runOps(kernel, new NativeOps(backend), inputs, attrs);
    }
    const usage = this.usageOf(kernel, inputs, attrs);
    if (usage.graph) this.loadWaiting(backend);
    if (usage.loaded) return runGraph(usage.loaded, inputs);
    usage.runs++;
    if (usage.runs < this.runsBefore) return runOps(kernel, new NativeOps(backend), inputs, attrs);
    const ops = new RecordingOps(backend, inputs);
    const results = runOps(kernel, ops, inputs, attrs);
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

  /** Loads all graphs that wait, or makes them op by op for ever. */
  private loadWaiting({binding}: NodeBackend): void {
    const {waiting} = this;
    this.waiting = [];
    try {
      const graphs = waiting.map(({graph}) => graph!);
      const loaded = loadGraphs(binding, graphs);
      waiting.forEach((usage, i) => (usage.loaded = loaded[i]));
    } catch {
      this.isRefused = true; // there is no place for files, say
    }
    for (const usage of waiting) usage.graph = undefined;
  }
}

function runGraph({model, inputs, outputs}: LoadedGraph, tensors: NativeInputs): Native[] {
  const ids = Object.values(tensors).map(({id}) => id);
  return model.binding.runSavedModel(model.id, ids, inputs, outputs);
}
