import * as tf from '@tensorflow/tfjs-core';
import {engineInternals, type EngineInternals, type GradientFunction, type OpCall} from './engine';
import {Holds, shapeOnly} from './holds';
import {readsInput} from './saving';

/** An op that lies between the variables and the result. */
export interface TapeNode {
  kernelName: string;
  /** Inputs whose gradients are asked for, by name. */
  inputs: Record<string, TensorLike>;
  outputs: TensorLike[];
  /** What the gradient function reads, in its order; some as shapes only. */
  saved: tf.Tensor[];
  gradient: GradientFunction | undefined;
  attrs: tf.NamedAttrMap | undefined;
  /** Ids of leaves that the op has read otherwise than as an input: closures of a custom gradient. */
  reads: ReadonlySet<number>;
}

/** What the tape remembers of a tensor that it does not hold. */
export interface TensorLike {
  id: number;
  shape: number[];
  dtype: tf.DataType;
}

/**
 * Records the ops that a function runs, as far as they depend on some leaves: an op without a leaf upstream leaves no
 * trace. It takes the place of the engine's `runKernelFunc` and keeps the stock tape from recording.
 */
export class Recording {
  readonly nodes: TapeNode[] = [];
  readonly holds: Holds;
  /** Ids of the leaves and of all that depends on them. */
  private readonly tracked: Set<number>;
  private readonly leaves: ReadonlySet<number>;
  private readonly runStock: EngineInternals['runKernelFunc'];
  /** Leaves read by the custom gradient op that is running. */
  private reads: Set<number> | null = null;

  constructor(leaves: readonly tf.Tensor[]) {
    this.leaves = new Set(leaves.map(({id}) => id));
    this.tracked = new Set(this.leaves);
    this.runStock = engineInternals().runKernelFunc;
    this.holds = new Holds(this.runStock);
  }

  /** Runs `f` and records. On an error nothing is held and the engine is as before. */
  run<T extends tf.TensorContainer>(f: () => T): T {
    const engine = engineInternals();
    const {state} = engine;
    const hadOwn = Object.hasOwn(engine, 'runKernelFunc');
    const {kernelDepth, gradientDepth} = state;
    engine.runKernelFunc = (call) => this.runOp(call);
    // Ops ask for it: a fused op may take a path without gradient otherwise.
    state.gradientDepth++;
    try {
      return engine.tidy('forward', f);
    } catch (error) {
      this.holds.dispose();
      throw error;
    } finally {
      Object.assign(state, {kernelDepth, gradientDepth});
      if (hadOwn) engine.runKernelFunc = this.runStock;
      else delete (engine as Partial<EngineInternals>).runKernelFunc;
    }
  }

  private runOp(call: OpCall): tf.Tensor | tf.Tensor[] {
    const engine = engineInternals();
    const {state} = engine;
    if (state.kernelDepth > 0) {
      this.noteReads(call);
      return this.runStock.call(engine, call);
    }
    return call.kernelName === undefined ? this.runCustom(call) : this.runKernel(call);
  }

  private runKernel(call: OpCall): tf.Tensor | tf.Tensor[] {
    const result = this.mute(call);
    const inputs = this.trackedInputs(call);
    if (inputs === null) return result;
    const outputs = Array.isArray(result) ? result : [result];
    const kernelName = call.kernelName!;
    const config = tf.getGradient(kernelName) as tf.GradConfig | undefined;
    this.add(call, inputs, outputs, {
      kernelName,
      saved: config ? this.save(call, config, inputs, outputs) : [],
      gradient: config?.gradFunc as GradientFunction | undefined,
      reads: new Set(),
    });
    return result;
  }

  private runCustom(call: OpCall): tf.Tensor | tf.Tensor[] {
    const inputs = this.trackedInputs(call);
    let saved: tf.Tensor[] = [];
    const outer = this.reads;
    const reads = (this.reads = new Set());
    const forwardFunc: OpCall['forwardFunc'] = (backend) =>
      call.forwardFunc!(backend, (tensors) => {
        if (inputs) saved = tensors.map((tensor) => this.holds.hold(tensor));
      });
    let result: tf.Tensor | tf.Tensor[];
    try {
      result = this.mute({...call, forwardFunc});
    } finally {
      this.reads = outer;
    }
    if (inputs === null) return result;
    const outputs = Array.isArray(result) ? result : [result];
    const gradient = call.backwardsFunc;
    this.add(call, inputs, outputs, {kernelName: 'custom gradient', saved, gradient, reads});
    return result;
  }

  /** Runs an op without the stock tape. */
  private mute(call: OpCall): tf.Tensor | tf.Tensor[] {
    const engine = engineInternals();
    engine.state.kernelDepth++;
    try {
      return this.runStock.call(engine, call);
    } finally {
      engine.state.kernelDepth--;
    }
  }

  /** The inputs that depend on a leaf, by name; null if there are none. */
  private trackedInputs({inputs}: OpCall): Record<string, TensorLike> | null {
    const tracked = Object.entries(inputs).filter(
      ([, tensor]) => tensor != null && this.tracked.has(tensor.id),
    );
    if (tracked.length === 0) return null;
    return Object.fromEntries(tracked.map(([name, tensor]) => [name, describe(tensor)]));
  }

  /** Holds what the gradient function of a kernel will read; the rest as shapes. */
  private save(
    {kernelName, inputs, attrs}: OpCall,
    {inputsToSave = [], outputsToSave = [], saveAllInputs}: tf.GradConfig,
    trackedInputs: Record<string, TensorLike>,
    outputs: tf.Tensor[],
  ): tf.Tensor[] {
    const tracked = new Set(Object.keys(trackedInputs));
    const names = saveAllInputs ? Object.keys(inputs) : inputsToSave;
    const savedInputs = names.map((name) => {
      const input = inputs[name]!;
      const isRead = readsInput(kernelName!, name, tracked, attrs);
      return isRead ? this.holds.hold(input) : shapeOnly(input);
    });
    const savedOutputs = outputs.filter((_, i) => outputsToSave[i]);
    return [...savedInputs, ...savedOutputs.map((output) => this.holds.hold(output))];
  }

  private add(
    {attrs}: OpCall,
    inputs: Record<string, TensorLike>,
    outputs: tf.Tensor[],
    rest: Pick<TapeNode, 'kernelName' | 'saved' | 'gradient' | 'reads'>,
  ): void {
    for (const {id} of outputs) this.tracked.add(id);
    this.nodes.push({inputs, outputs: outputs.map(describe), attrs, ...rest});
  }

  private noteReads({inputs}: OpCall): void {
    if (!this.reads) return;
    for (const tensor of Object.values(inputs)) {
      if (tensor != null && this.leaves.has(tensor.id)) this.reads.add(tensor.id);
    }
  }
}

function describe({id, shape, dtype}: tf.Tensor): TensorLike {
  return {id, shape, dtype};
}
