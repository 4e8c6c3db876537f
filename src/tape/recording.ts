import * as tf from '@tensorflow/tfjs-core';
import {
  insideOfGradient,
  insideOfOp,
  interceptOps,
  nextTensorId,
  opDepth,
  shapeOnly,
  tidy,
  watchAssignments,
  type GradientFunction,
  type InputGradients,
  type OpCall,
  type RunOp,
} from '../tfjs/engine';
import {readsInput} from '../tfjs/gradient_reads';
import {Holds} from './holds';

/** An op that lies between the variables and the result. */
export interface TapeNode {
  kernelName: string;
  /** Inputs whose gradients are asked for, by name. */
  inputs: Record<string, TensorLike>;
  outputs: TensorLike[];
  /** What the gradient function reads, in its order; some as shapes only. */
  saved: tf.Tensor[];
  /** The gradients of the inputs from those of the outputs, null for an output that nothing depends on. */
  gradient: ((dys: ReadonlyArray<tf.Tensor | null>) => InputGradients) | undefined;
  /** Ids of leaves that the op has read other than as inputs, by the closure of a custom gradient. */
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
 * trace. It keeps the stock tape from recording.
 */
export class Recording {
  /** The recording that is running; null if there is none. */
  static active: Recording | null = null;

  readonly nodes: TapeNode[] = [];
  readonly holds = new Holds();
  /** Ids of the leaves and of all that depends on them. */
  private readonly tracked: Set<number>;
  private readonly leaves: ReadonlySet<number>;
  /** The recording that was running when this one was made; it records this one's ops and gradients as well. */
  private readonly outer = Recording.active;
  /** The nesting depth of the ops that are recorded; ops inside them are deeper. */
  private depth = opDepth();
  /** Tensors that inner recordings hold: from the id of each to the id of the tensor that it replaces. */
  private readonly originals = new Map<number, number>();
  /** Leaves read by the custom gradient op that is running. */
  private reads: Set<number> | null = null;
  /**
   * The segment that is being observed: the tensors from outside that it has read, which have ids below `since`, and what is held
   * of them; and those outputs of its ops that depend on a leaf.
   */
  private observed: {
    since: number;
    outside: Map<number, tf.Tensor>;
    held: tf.Tensor[];
    dependent: Set<number>;
  } | null = null;

  /** What segments do, while the recording runs, before a variable is assigned to. */
  readonly onAssign: Array<(variable: tf.Variable) => void> = [];

  /** @param factoredAxes Of the leaves whose gradients may be factored, by id: the axis along which their rows are asked for. */
  constructor(
    leaves: readonly tf.Tensor[],
    private readonly factoredAxes: ReadonlyMap<number, 0 | 1 | undefined> = new Map(),
  ) {
    this.leaves = new Set(leaves.map(({id}) => id));
    this.tracked = new Set(this.leaves);
  }

  /** Runs `f` and records. On an error nothing is held and the engine is as before. */
  run<T extends tf.TensorContainer>(f: () => T): T {
    const intercept = (call: OpCall, run: RunOp): tf.Tensor | tf.Tensor[] => this.runOp(call, run);
    Recording.active = this;
    try {
      return watchAssignments(
        (variable) => this.onAssign.forEach((note) => note(variable)),
        () => insideOfGradient(() => interceptOps(intercept, () => tidy('forward', f))),
      );
    } catch (error) {
      this.holds.dispose();
      throw error;
    } finally {
      Recording.active = this.outer;
    }
  }

  /**
   * Runs `body` without recording it, and tells which tensors from outside its ops have read, and the ids of those outputs
   * of its ops that depend on a leaf. Holds the data of `outside` by `held`, except for variables, which keep theirs themselves.
   */
  observe<T>(body: () => T): {
    result: T;
    outside: tf.Tensor[];
    held: tf.Tensor[];
    dependent: ReadonlySet<number>;
  } {
    const since = nextTensorId();
    const outside = new Map<number, tf.Tensor>();
    const held: tf.Tensor[] = [];
    const dependent = new Set<number>();
    this.observed = {since, outside, held, dependent};
    try {
      return {result: insideOfOp(body), outside: [...outside.values()], held, dependent};
    } finally {
      this.observed = null;
    }
  }

  /** Whether a tensor depends on a leaf. */
  isTracked(tensor: tf.Tensor): boolean {
    return this.tracked.has(this.idOf(tensor));
  }

  /** The axis along which the gradient of a leaf is asked for factored; undefined where it is to be a tensor with data. */
  factoredAxis({id}: tf.Tensor): 0 | 1 | undefined {
    return this.factoredAxes.get(id);
  }

  /** Whether an op would be recorded now, and by no other recording than this one. */
  recordsAlone(): boolean {
    return this.outer === null && opDepth() === this.depth;
  }

  /** What the tape remembers of an op's input. */
  describeInput(tensor: tf.Tensor): TensorLike {
    return {...describe(tensor), id: this.idOf(tensor)};
  }

  /** Adds a node; what it puts out depends on a leaf from now on. */
  add(node: TapeNode): void {
    for (const {id} of node.outputs) this.tracked.add(id);
    this.nodes.push(node);
  }

  /** @param run What ran ops before: the engine, or the outer recording. */
  private runOp(call: OpCall, run: RunOp): tf.Tensor | tf.Tensor[] {
    const isInside = opDepth() > this.depth;
    this.noteReads(call);
    if (isInside) {
      const result = run(call);
      if (this.observed && this.trackedInputs(call)) {
        for (const {id} of [result].flat()) {
          this.tracked.add(id);
          this.observed.dependent.add(id);
        }
      }
      return result;
    }
    return call.kernelName === undefined ? this.runCustom(call, run) : this.runKernel(call, run);
  }

  private runKernel(call: OpCall, run: RunOp): tf.Tensor | tf.Tensor[] {
    const result = this.mute(call, run);
    const inputs = this.trackedInputs(call);
    if (inputs === null) return result;
    const outputs = Array.isArray(result) ? result : [result];
    const kernelName = call.kernelName!;
    const config = tf.getGradient(kernelName) as tf.GradConfig | undefined;
    // Such as a comparison, whose result is constant almost everywhere; the gradient of leakyRelu has one.
    if (!config && outputs.every(({dtype}) => dtype === 'bool' || dtype === 'int32')) return result;
    const saved = config ? this.save(call, config, inputs, outputs) : [];
    this.add({
      kernelName,
      inputs,
      outputs: outputs.map(describe),
      saved,
      gradient:
        config && withZeros(config.gradFunc as GradientFunction, outputs, saved, call.attrs),
      reads: new Set(),
    });
    return result;
  }

  private runCustom(call: OpCall, run: RunOp): tf.Tensor | tf.Tensor[] {
    const inputs = this.trackedInputs(call);
    let saved: tf.Tensor[] = [];
    const outer = this.reads;
    const reads = (this.reads = new Set());
    const {depth} = this;
    const forwardFunc: OpCall['forwardFunc'] = (backend, save) => {
      // An inner recording takes the gradient of this op, and this recording the gradient of that. It may read what only this
      // function computes, as that of softmaxCrossEntropy does, so the ops in here are recorded as well.
      if (Recording.active !== this) this.depth = opDepth();
      return call.forwardFunc!(backend, (tensors) => {
        save(tensors);
        if (inputs) saved = tensors.map((tensor) => this.hold(tensor));
      });
    };
    let result: tf.Tensor | tf.Tensor[];
    try {
      result = this.mute({...call, forwardFunc}, run);
    } finally {
      this.reads = outer;
      this.depth = depth;
    }
    if (inputs === null) return result;
    const outputs = Array.isArray(result) ? result : [result];
    this.add({
      kernelName: 'custom gradient',
      inputs,
      outputs: outputs.map(describe),
      saved,
      gradient: call.backwardsFunc && withZeros(call.backwardsFunc, outputs, saved, call.attrs),
      reads,
    });
    return result;
  }

  /** Runs an op so that the stock tape does not record it; an outer recording does. */
  private mute(call: OpCall, run: RunOp): tf.Tensor | tf.Tensor[] {
    return this.outer ? run(call) : insideOfOp(() => run(call));
  }

  /** The inputs that depend on a leaf, by name; null if there are none. */
  private trackedInputs({inputs}: OpCall): Record<string, TensorLike> | null {
    const tracked = Object.entries(inputs).filter(
      ([, tensor]) => tensor != null && this.isTracked(tensor),
    );
    if (tracked.length === 0) return null;
    return Object.fromEntries(tracked.map(([name, tensor]) => [name, this.describeInput(tensor)]));
  }

  /** Holds what the gradient function of a kernel will read; the rest as shapes. */
  private save(
    {kernelName, inputs, attrs}: OpCall,
    {inputsToSave = [], outputsToSave = [], saveAllInputs}: tf.GradConfig,
    trackedInputs: Record<string, TensorLike>,
    outputs: tf.Tensor[],
  ): tf.Tensor[] {
    const tracked = new Set(Object.keys(trackedInputs));
    tf.util.assert(
      !saveAllInputs || Array.isArray(inputs),
      () => 'saveAllInputs is true, expected inputs to be an array.',
    );
    const names = saveAllInputs ? Object.keys(inputs) : inputsToSave;
    const savedInputs = names.map((name) => {
      const input = inputs[name]!;
      const isRead = readsInput(kernelName!, name, tracked, attrs);
      return isRead ? this.hold(input) : shapeOnly(input);
    });
    const savedOutputs = outputs.filter((_, i) => outputsToSave[i]);
    return [...savedInputs, ...savedOutputs.map((output) => this.hold(output))];
  }

  private hold(tensor: tf.Tensor): tf.Tensor {
    const held = this.holds.hold(tensor);
    for (let {outer} = this as Recording; outer; outer = outer.outer) {
      outer.originals.set(held.id, outer.idOf(tensor));
    }
    return held;
  }

  private idOf({id}: tf.Tensor): number {
    return this.originals.get(id) ?? id;
  }

  /** Looks at what an op reads, if it is inside of a custom gradient or a segment. */
  private noteReads({inputs}: OpCall): void {
    for (const tensor of Object.values(inputs)) {
      if (tensor == null) continue;
      const id = this.idOf(tensor);
      if (this.leaves.has(id)) this.reads?.add(id);
      if (this.observed && tensor.id < this.observed.since) this.noteOutside(tensor, this.observed);
    }
  }

  private noteOutside(
    tensor: tf.Tensor,
    {outside, held}: NonNullable<Recording['observed']>,
  ): void {
    if (outside.has(tensor.id)) return;
    outside.set(tensor.id, tensor);
    if (!(tensor instanceof tf.Variable)) held.push(this.holds.hold(tensor));
  }
}

/** An op's own gradient function, which wants a gradient of every output. */
function withZeros(
  gradient: GradientFunction,
  outputs: readonly tf.Tensor[],
  saved: tf.Tensor[],
  attrs: tf.NamedAttrMap | undefined,
): TapeNode['gradient'] {
  const described = outputs.map(describe);
  return (dys) => {
    const filled = described.map(
      ({shape, dtype}, i) => dys[i] ?? tf.zeros(shape, dtype as 'float32'),
    );
    return gradient(filled.length > 1 ? filled : filled[0]!, saved, attrs);
  };
}

/** What the tape remembers of an op's output. */
export function describe({id, shape, dtype}: tf.Tensor): TensorLike {
  return {id, shape, dtype};
}

/** Whether ops are recorded for a backward pass over a tape of this library. */
export function isRecording(): boolean {
  return Recording.active !== null;
}

/**
 * Whether a gradient of `tensor` may be asked for, so that an op of several inputs can leave out the others. False only if a
 * recording of this library is running and `tensor` depends on none of its leaves; tfjs's own tape does not know beforehand.
 */
export function needsGradient(tensor: tf.Tensor): boolean {
  return Recording.active?.isTracked(tensor) ?? true;
}

/**
 * The axis along which the rows of `weight`'s gradient are asked for, so that an op may give that gradient as a `FactoredGradient`;
 * undefined where it must give a tensor with data.
 */
export function factoredAxisOf(weight: tf.Tensor): 0 | 1 | undefined {
  return Recording.active?.factoredAxis(weight);
}
