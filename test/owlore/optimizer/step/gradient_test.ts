import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import {factoredAxis, gradientOf} from '../../../../src/owlore/optimizer/step/gradient';
import {planProjection} from '../../../../src/owlore/optimizer/state/projector';
import {describeBackends} from '../../../support/backends';
import {Terms} from '../../../tape/term_losses';

describeBackends('the gradient of a step', () => {
  it('has the same norm as a tensor and factored, in any unit', async () => {
    const weight = tf.variable(tf.randomNormal([30, 6], 0, 1, 'float32', 1), true, 'norms/weight');
    const terms = new Terms(weight, 0, 4);
    const options = {basis: 'randomized', update: 'galore'} as const;
    const projection = planProjection([30, 6], 2, 'right');
    const [factored, whole] = [terms.inTerms(), terms.whole()];
    expect(gradientOf(whole, weight, projection, options).gram()).to.equal(null);
    for (const unit of [undefined, 2 ** -10]) {
      const norms = [factored, whole].map((gradient) =>
        tf.tidy(() => gradientOf(gradient, weight, projection, options).squaredNorm(unit)),
      );
      const [actual, expected] = [(await norms[0]!.data())[0]!, (await norms[1]!.data())[0]!];
      // sums of 180 float32 squares in another order
      expect(actual).to.be.closeTo(expected, 1e-5 * expected);
      tf.dispose(norms);
    }
    tf.dispose([factored, whole, weight]);
  });
});

describe('the axis along which a gradient is factored', () => {
  const options = {basis: 'randomized', update: 'galore'} as const;
  const right = planProjection([30, 6], 2, 'right');
  const left = planProjection([30, 6], 2, 'left');
  for (const [what, shape, projection, more, axis] of [
    ['the rows, where the basis spans the columns', [30, 6], right, {}, 0],
    ['the columns, where it spans the rows', [30, 6], left, {}, 1],
    ['none where nothing is projected', [30, 6], null, {}, undefined],
    ['none of a kernel of more axes', [5, 6, 6], right, {}, undefined],
    ['none for a basis that needs G itself', [30, 6], right, {basis: 'svd'}, undefined],
    ['none for an update that needs G itself', [30, 6], right, {update: 'fira'}, undefined],
  ] as const) {
    it(`is ${what}`, () => {
      expect(factoredAxis({shape: [...shape]}, projection, {...options, ...more})).to.equal(axis);
    });
  }
});
