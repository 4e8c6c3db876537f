import type * as tf from '@tensorflow/tfjs-core';
import type {ResolvedOwLoreOptions} from '../options';
import type {Projection} from '../state/projector';
import type {VariableState} from '../state/state';

/** One variable in one step. */
export interface Update {
  variable: tf.Variable;
  /** How the variable is projected; null if it is not. */
  projection: Projection | null;
  /** P, M, V, and how many steps they have seen. */
  state: VariableState;
  /** G; once it is projected, R. */
  gradient: tf.Tensor;
  /** G, where the rule moves the matrix by it too; otherwise null. */
  whole: tf.Tensor | null;
  /** The basis of R if this step brings a new one; null if it is that of the state. */
  newBasis: tf.Tensor2D | null;
  /** λ of this variable. */
  weightDecay: number;
  /** What η is multiplied by for this variable. */
  rateFactor: number;
}

/** What all variables of one step share. */
export interface StepSettings {
  options: ResolvedOwLoreOptions;
  /** η. */
  learningRate: number;
  /** How many steps the optimizer has made. */
  step: number;
  /** Scalar that every gradient is multiplied by; null: 1. */
  clip: tf.Tensor | null;
  /** Boolean scalar; false if a gradient is not finite, so that nothing may change. null: true. */
  allFinite: tf.Tensor | null;
  /** Called with the variable's name after its basis was replaced. */
  onRefresh(variable: string): void;
}
