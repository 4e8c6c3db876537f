import * as tf from '@tensorflow/tfjs-core';
import {factoredAxisOf} from '../../src/tape/recording';
import {defineTermKind, FactoredGradient} from '../../src/tape/factored_gradient';

/** What the rows of a kind of terms take beside their own, in numbers; tests set it. */
export const rowSizes = {picks: 0, products: 0};

/** Row `ids[i]` has `rows[i]` added to it. */
export const picks = defineTermKind({
  name: 'testPicks',
  axes: {ids: 1, rows: 2},
  scaled: 'rows',
  rowSize: () => rowSizes.picks,
  factor: ({rows}) => rows as tf.Tensor2D,
  rows: ({ids}, ys, {from, count}) => {
    const places = tf.sub(ids!, from);
    const isInside = tf.logicalAnd(tf.greaterEqual(places, 0), tf.less(places, count));
    const segments = tf.cast(tf.where(isInside, places, tf.fill(places.shape, -1)), 'int32');
    return ys.map((y) => tf.unsortedSegmentSum<tf.Tensor2D>(y, segments as tf.Tensor1D, count));
  },
});

/** (W·hᵀ)·x, with the rows of the weight itself. */
const products = defineTermKind({
  name: 'testProducts',
  axes: {h: 2, x: 2},
  scaled: 'x',
  rowSize: () => rowSizes.products,
  factor: ({x}) => x as tf.Tensor2D,
  rows({h}, ys, {weight}) {
    const left = tf.matMul<tf.Tensor2D>(weight(), h as tf.Tensor2D, false, true);
    return ys.map((y) => tf.matMul<tf.Tensor2D>(left, y));
  },
});

const COUNT = 5;

/** The numbers of a gradient that is a sum of both kinds of terms, times a factor. */
export class Terms {
  private readonly ids: number[];

  /**
   * @param axis The axis of the weight that the rows are along.
   * @param seed Gives them their numbers.
   */
  constructor(
    private readonly weight: tf.Variable,
    private readonly axis: 0 | 1,
    private readonly seed: number,
    private readonly factor = 1,
  ) {
    const rows = weight.shape[axis]!;
    this.ids = [3, 0, rows - 1, 3, seed].map((id) => id % rows);
  }

  /** The gradient in terms; no scope frees it. */
  inTerms(): FactoredGradient {
    return tf.tidy(() => {
      const [rows, h, x] = this.tensors();
      const ids = tf.tensor1d(this.ids);
      return FactoredGradient.kept(this.weight.shape as [number, number], this.axis, [
        {kind: picks, tensors: {ids, rows: rows!}},
        {kind: products, tensors: {h: h!, x: x!}},
      ]);
    });
  }

  /** The same by the obvious way: all of it. */
  whole(): tf.Tensor2D {
    return tf.tidy(() => {
      const [rows, h, x] = this.tensors();
      const {axis, weight} = this;
      const w = (axis === 0 ? weight : tf.transpose(weight)) as tf.Tensor2D;
      const isAt = tf.tensor2d(
        this.ids.map((id) => Array.from({length: w.shape[0]}, (_, row) => Number(row === id))),
      );
      const sum = tf.add<tf.Tensor2D>(
        tf.matMul(isAt, rows!, true),
        tf.matMul(tf.matMul(w, h!, false, true), x!),
      );
      return axis === 0 ? sum : tf.transpose(sum);
    });
  }

  /** A loss of 1 with this gradient, in terms where the optimizer asks for them. */
  loss(): tf.Scalar {
    const isInTerms = factoredAxisOf(this.weight) === this.axis;
    return tf.customGrad(() => ({
      value: tf.scalar(1),
      gradFunc: () => (isInTerms ? this.inTerms() : this.whole()),
    }))(this.weight);
  }

  private tensors(): tf.Tensor2D[] {
    const width = this.weight.shape[1 - this.axis]!;
    const normal = (i: number): tf.Tensor2D =>
      tf.randomNormal([COUNT, width], 0, 1, 'float32', 10 * this.seed + i);
    return [tf.mul(normal(1), this.factor), normal(2), tf.mul(normal(3), this.factor)];
  }
}
