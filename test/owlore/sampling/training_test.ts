import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {
  checkCopy,
  sameWeights,
  trainingOf,
  trainsAny,
  weightsOf,
  wrongReceiver,
} from '../../../src/owlore/sampling/training';

function createModel(): tfl.Sequential {
  return tfl.sequential({
    layers: ['a', 'b'].map((name) => tfl.layers.dense({name, units: 2, inputShape: [2]})),
  });
}

describe('what a training trains', () => {
  let model: tfl.Sequential;
  beforeEach(() => (model = createModel()));
  afterEach(() => model.dispose());

  const compiled = (): tf.Optimizer => {
    const optimizer = tf.train.sgd(0.1);
    model.compile({optimizer, loss: 'meanSquaredError'});
    return optimizer;
  };

  it('is the model inside of a Sequential, with the optimizer of the loop or of compile', () => {
    const loop = tf.train.sgd(0.1);
    expect(trainingOf(model, loop)).to.deep.equal({model, optimizer: loop});
    const optimizer = compiled();
    const inner = (model as unknown as {model: tfl.LayersModel}).model;
    for (const [given, expected] of [
      [null, optimizer],
      [loop, loop],
    ] as const) {
      const training = trainingOf(model, given);
      expect(training.model).to.equal(inner);
      expect(training.optimizer).to.equal(expected);
    }
  });

  it('needs a model, and an optimizer of this copy of tfjs', () => {
    expect(() => trainingOf(undefined, tf.train.sgd(1))).to.throw(
      'LayerSamplingCallback: has no model, or another callback took it over; call attach(model, optimizer) before step()',
    );
    expect(() => trainingOf(model, null)).to.throw(
      'the model has no optimizer; call model.compile',
    );
    for (const [other, name] of [
      [{getClassName: () => 'Other'}, 'Other'],
      [{}, 'unknown'],
    ] as const) {
      expect(() => trainingOf(model, other as tf.Optimizer)).to.throw(
        `the model's optimizer (${name}) comes from another copy of @tensorflow/tfjs-core`,
      );
    }
  });

  it('are the weights of compile, those that are trainable now, or both', () => {
    const [a, b] = model.layers as [tfl.layers.Layer, tfl.layers.Layer];
    a.trainable = false;
    const optimizer = compiled();
    a.trainable = true;
    b.trainable = false;
    const names = (loop: tf.Optimizer | null): string[] =>
      weightsOf(trainingOf(model, loop), loop).map(({name}) => name);
    const [namesOfA, namesOfB] = [a, b].map(({weights}) => weights.map(({name}) => name));
    expect(names(null)).to.deep.equal(namesOfB);
    expect(names(tf.train.sgd(0.1))).to.deep.equal(namesOfA);
    expect(names(optimizer)).to.deep.equal([...namesOfB!, ...namesOfA!]);
    b.trainable = true;
    expect(names(optimizer), 'each once')
      .to.have.members([...namesOfB!, ...namesOfA!])
      .and.have.length(4);
  });

  it('is trained if one of its weights is on', () => {
    const {weights} = model;
    expect(trainsAny(weights)).to.equal(true);
    model.layers[0]!.trainable = false;
    expect(trainsAny(weights)).to.equal(true);
    model.layers[1]!.trainable = false;
    expect(trainsAny(weights)).to.equal(false);
    expect(trainsAny([])).to.equal(false);
  });

  it('has the same weights in any order, each once or twice', () => {
    const [a, b, c] = model.weights as [tfl.LayerVariable, tfl.LayerVariable, tfl.LayerVariable];
    for (const [left, right, isSame] of [
      [[a, b], [b, a], true],
      [[a, b], [a, b, a], true],
      [[a, b, b], [b, a], true],
      [[], [], true],
      [[a, b], [a], false],
      [[a], [a, b], false],
      [[a, b], [a, c], false],
      [[a, b], [a, a], false],
    ] as const) {
      expect(sameWeights(left, right)).to.equal(isSame);
    }
  });

  it('is a model, of this copy of tfjs-layers', () => {
    expect(() => checkCopy(model)).not.to.throw();
    for (const [none, shown] of [
      [undefined, 'undefined'],
      [null, 'null'],
      ['model', 'model'],
      [{trainOnBatch: true}, '[object Object]'],
    ]) {
      expect(() => checkCopy(none)).to.throw(
        `LayerSamplingCallback: must have a tf.LayersModel; got ${shown as string}`,
      );
    }
    expect(() => checkCopy({trainOnBatch: () => undefined})).to.throw(
      'LayerSamplingCallback: the model comes from another copy of @tensorflow/tfjs-layers than this library uses',
    );
  });

  it('says why fit() calls the methods of a callback on an object of its own', () => {
    expect(wrongReceiver(new tfl.CustomCallback({})).message).to.match(
      /^LayerSamplingCallback: fit\(\) calls this callback as a plain object of functions/,
    );
    expect(wrongReceiver({}).message).to.match(
      /^LayerSamplingCallback: fit\(\) comes from another copy of @tensorflow\/tfjs-layers/,
    );
  });
});
