import * as tf from '@tensorflow/tfjs-core';
import {nextTensorId, tidy} from '../tfjs/engine';
import {addGradients} from '../tape/gradient';
import type {Recording, TapeNode} from './recording';

/** Called with the gradient of leaf number `index`, which is final and now the callee's. */
export type OnGradient = (index: number, gradient: tf.Tensor) => void;

/** A result of what was recorded and its gradient, which stays the caller's. */
export interface Seed {
  y: tf.Tensor;
  dy: tf.Tensor;
}

/**
 * Goes back from the results over what was recorded, and hands out the gradient of each leaf as soon as no op is left that
 * adds to it or reads the leaf. Frees each held tensor when its op has been passed, and each gradient when it has been used.
 */
export function backpropagate(
  {nodes, holds}: Recording,
  leaves: readonly tf.Tensor[],
  seeds: readonly Seed[],
  onGradient: OnGradient,
): void {
  const gradients = new Gradients();
  for (const {y, dy} of seeds) gradients.add(y.id, tf.clone(dy));
  const results = seeds.map(({y}) => y.id);
  const steps = nodesLeadingTo(nodes, results, (node) =>
    node.saved.forEach((t) => holds.release(t)),
  );
  const finalAt = lastUses(steps, leaves);
  const handOut = (step: number): void => {
    for (const index of finalAt.get(step) ?? []) {
      const gradient = gradients.take(leaves[index]!.id);
      if (gradient) onGradient(index, gradient);
    }
  };
  try {
    for (let i = steps.length - 1; i >= 0; i--) {
      const node = steps[i]!;
      // That the outputs of a recomputed segment do not depend on an input is found out only in the backward pass.
      if (node.outputs.some(({id}) => gradients.get(id))) passNode(node, gradients);
      node.saved.forEach((tensor) => holds.release(tensor));
      handOut(i);
    }
    handOut(-1);
  } finally {
    // Factored gradients are in no scope that would free them.
    gradients.dispose();
  }
}

/** Adds the gradients of a node's inputs and forgets those of its outputs. */
function passNode(node: TapeNode, gradients: Gradients): void {
  const names = Object.keys(node.inputs);
  const since = nextTensorId();
  const dxs = tidy('gradient', () => {
    const dys = node.outputs.map(({id}) => gradients.get(id) ?? null);
    if (!node.gradient) {
      throw new Error(
        `Cannot compute gradient: gradient function not found for ${node.kernelName}.`,
      );
    }
    const inputGradients = node.gradient(dys);
    const taken = new Set<number>();
    return names.map((name) => {
      const compute = inputGradients[name];
      if (!compute) {
        throw new Error(
          `Cannot backprop through input ${name}. Available gradients found: ${Object.keys(inputGradients)}.`,
        );
      }
      const dx = tidy('gradient of an input', compute);
      if (dx === null) return null;
      checkGradient(node, name, dx);
      // Who gets the gradient frees it. So it must not be one of `dys`, a saved tensor, a custom gradient's own or another input's.
      if (dx.id < since || dx.kept || taken.has(dx.id)) return tf.clone(dx);
      taken.add(dx.id);
      return dx;
    });
  });
  for (const {id} of node.outputs) gradients.forget(id);
  names.forEach((name, i) => {
    const dx = dxs[i]!;
    if (dx) gradients.add(node.inputs[name]!.id, dx);
  });
}

function checkGradient({kernelName, inputs}: TapeNode, name: string, dx: tf.Tensor): void {
  if (dx.dtype !== 'float32') {
    throw new Error(
      `Error in gradient for op ${kernelName}. The gradient of input ${name} must have 'float32' dtype, but has '${dx.dtype}'`,
    );
  }
  const {shape} = inputs[name]!;
  if (!tf.util.arraysEqual(dx.shape, shape)) {
    throw new Error(
      `Error in gradient for op ${kernelName}. The gradient of input '${name}' has shape '${dx.shape}', which does not ` +
        `match the shape of the input '${shape}'`,
    );
  }
}

/** The nodes on a way to one of the tensors `results`, in their order; the others are passed to `drop`. */
function nodesLeadingTo(
  nodes: readonly TapeNode[],
  results: readonly number[],
  drop: (node: TapeNode) => void,
): TapeNode[] {
  const leading = new Set(results);
  const steps: TapeNode[] = [];
  for (const node of [...nodes].reverse()) {
    if (!node.outputs.some(({id}) => leading.has(id))) {
      drop(node);
      continue;
    }
    for (const {id} of Object.values(node.inputs)) leading.add(id);
    steps.push(node);
  }
  return steps.reverse();
}

/** For each step, the leaves that are first used there in the forward pass; under -1 the leaves without a use. */
function lastUses(steps: readonly TapeNode[], leaves: readonly tf.Tensor[]): Map<number, number[]> {
  const firstUse = new Map<number, number>();
  steps.forEach((node, i) => {
    const used = [...Object.values(node.inputs).map(({id}) => id), ...node.reads];
    for (const id of used) if (!firstUse.has(id)) firstUse.set(id, i);
  });
  const byStep = new Map<number, number[]>();
  leaves.forEach(({id}, index) => {
    const step = firstUse.get(id) ?? -1;
    byStep.set(step, [...(byStep.get(step) ?? []), index]);
  });
  return byStep;
}

/** Gradients by tensor id, summed up; it owns them. */
class Gradients {
  private readonly byId = new Map<number, tf.Tensor>();

  get(id: number): tf.Tensor | undefined {
    return this.byId.get(id);
  }

  add(id: number, gradient: tf.Tensor): void {
    this.byId.set(id, addGradients(this.byId.get(id), gradient));
  }

  take(id: number): tf.Tensor | undefined {
    const gradient = this.byId.get(id);
    this.byId.delete(id);
    return gradient;
  }

  forget(id: number): void {
    this.take(id)?.dispose();
  }

  dispose(): void {
    tf.dispose([...this.byId.values()]);
    this.byId.clear();
  }
}
