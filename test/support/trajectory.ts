import * as tf from '@tensorflow/tfjs-core';
import type {OwLoreOptimizer} from '../../src/owlore/owlore_optimizer';
import {readTensors, toTensor} from './fixtures';
import {freeze} from './freeze';
import type {FixtureTensor} from './fixtures';

/** The variables and gradients of a recorded trajectory (`init.X`, `grad.X`). */
export class Trajectory {
  readonly tensors: Map<string, FixtureTensor>;
  readonly variables = new Map<string, tf.Variable>();

  constructor(path: string) {
    this.tensors = readTensors(path);
    for (const [name, tensor] of this.tensors) {
      if (!name.startsWith('init.')) continue;
      const initial = toTensor(tensor);
      this.variables.set(name.slice(5), tf.variable(initial, true, `${path}/${name.slice(5)}`));
      initial.dispose();
    }
  }

  /** The recorded tensor called `name`. */
  get(name: string): FixtureTensor {
    const tensor = this.tensors.get(name);
    if (!tensor) throw new Error(`the fixture has no tensor '${name}'`);
    return tensor;
  }

  /** Applies the recorded gradients of step `step` = 0, 1, … of the variables that `hasGradient` names; the others are frozen. */
  step(optimizer: OwLoreOptimizer, step: number, hasGradient = (_name: string) => true): void {
    const frozen = [...this.variables].filter(([name]) => !hasGradient(name));
    const variables = [...this.variables.values()];
    freeze(
      optimizer,
      variables,
      frozen.map(([, variable]) => variable),
    );
    tf.tidy(() => {
      const gradients = [...this.variables]
        .filter(([name]) => hasGradient(name))
        .map(([name, variable]) => ({
          name: variable.name,
          tensor: toTensor(this.get(`grad.${name}`), step),
        }));
      optimizer.applyGradients(gradients);
    });
  }

  /** The optimizer's state of variable `name`: `moment1`, `moment2`, `basis`; undefined if it has none. */
  async state(
    optimizer: OwLoreOptimizer,
    name: string,
    slot: string,
  ): Promise<Float32Array | undefined> {
    const weights = await optimizer.getWeights();
    const wanted = `${this.variables.get(name)!.name}/owlore.${slot}`;
    return weights.find((weight) => weight.name === wanted)?.tensor.data<'float32'>();
  }

  dispose(): void {
    for (const variable of this.variables.values()) variable.dispose();
  }
}
