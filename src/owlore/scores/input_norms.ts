import * as tf from '@tensorflow/tfjs-core';
import {withVisibleProducts} from '../../kernels/products';
import {watchKernels, type KernelRun} from '../../tfjs/kernels';
import {linearUses} from './linear_kernels';
import type {LinearUse} from './linear_use';
import {RunningSums} from './running_sums';
import {inWeightLayout, WeightViews, type WeightView} from './weight_views';
import {maskRows} from './row_mask';

/**
 * ‖X_j‖₂ of the input features that are multiplied with the entries of given weights, whichever layer does it:
 * found by watching the kernels of forward passes. Keeps one vector of sums for each weight and each layout in
 * which it is used, and no activations. For a weight that is used several times the rows of all uses count.
 */
export class InputNorms {
  private readonly sums = new RunningSums();
  private readonly uses = new Map<string, WeightView>();

  constructor(private readonly weights: readonly tf.Tensor[]) {}

  /** Adds the rows of one forward pass. `mask` `[batch, seq]` leaves out the rows where it is 0. */
  watch(forward: () => void, mask?: tf.Tensor): void {
    const views = new WeightViews(this.weights);
    const visibly = () => withVisibleProducts(forward);
    watchKernels(visibly, (run) => {
      views.follow(run);
      tf.tidy(() => this.observe(run, views, mask));
    });
  }

  private observe(run: KernelRun, views: WeightViews, mask?: tf.Tensor): void {
    for (const use of linearUses(run)) {
      const view = views.get(use.weight);
      // A product of two weights has no activations.
      if (view && !views.get(use.input)) this.addUse(view, use, mask);
    }
  }

  private addUse(view: WeightView, use: LinearUse, mask?: tf.Tensor): void {
    const squares = tf.square(tf.cast(use.input, 'float32'));
    const sums = use.sumRows(mask ? maskRows(squares, use.featureAxes, mask) : squares);
    const key = JSON.stringify([view.weight.id, view.steps, sums.shape]);
    this.uses.set(key, view);
    this.sums.add(key, sums);
  }

  /**
   * The norms for each entry of `weight`, or of what it has packed, in the shape of the weight; undefined if no pass multiplied
   * with it. The caller disposes of the tensor.
   */
  of(weight: tf.Tensor): tf.Tensor | undefined {
    const keys = [...this.uses].flatMap(([key, view]) => (view.weight === weight ? [key] : []));
    if (keys.length === 0) return undefined;
    return tf.tidy(() => {
      const squares = keys.map((key) => {
        const view = this.uses.get(key)!;
        return inWeightLayout(view, tf.broadcastTo(this.sums.get(key)!, view.shape));
      });
      return tf.sqrt(squares.reduce((sum, more) => tf.add(sum, more)));
    });
  }

  dispose(): void {
    this.sums.dispose();
    this.uses.clear();
  }
}
