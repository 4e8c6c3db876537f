import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {GPTLMHeadModel} from 'gpt-tfjs/src/model.js';
import {findBlocks, resolveBlocks, type BlockSelector} from '../../src/model/blocks';

/** A custom layer that holds two matrices, as a transformer block does. */
class TwoMatrices extends tfl.layers.Layer {
  private readonly width: number;

  constructor({width, ...args}: {width: number; name?: string}) {
    super(args);
    this.width = width;
  }

  override build(inputShape: number[]): void {
    const size = inputShape[inputShape.length - 1]!;
    const initializer = tfl.initializers.zeros();
    this.addWeight('up', [size, this.width], 'float32', initializer);
    this.addWeight('down', [this.width, size], 'float32', initializer);
    super.build(inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return Array.isArray(inputs) ? inputs[0]! : inputs;
  }

  static get className(): string {
    return 'TwoMatrices';
  }
}

/** Another one, which holds weights of the same shapes. */
class OtherTwoMatrices extends TwoMatrices {
  static override get className(): string {
    return 'OtherTwoMatrices';
  }
}

/** A custom layer that holds a vector, as an RMS norm does. */
class Scale extends tfl.layers.Layer {
  override build(inputShape: number[]): void {
    this.addWeight('scale', [inputShape.at(-1)!], 'float32', tfl.initializers.ones());
    super.build(inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return Array.isArray(inputs) ? inputs[0]! : inputs;
  }

  static get className(): string {
    return 'Scale';
  }
}

const {dense} = tfl.layers;

function nested(name: string, size: number, width: number): tfl.LayersModel {
  const input = tfl.input({shape: [size]});
  const hidden = dense({units: width, name: 'up'}).apply(input) as tfl.SymbolicTensor;
  const output = dense({units: size, name: 'down'}).apply(hidden) as tfl.SymbolicTensor;
  return tfl.model({name, inputs: input, outputs: output});
}

function stack(layers: tfl.layers.Layer[], inputShape: number[] = [4]): tfl.LayersModel {
  const input = tfl.input({shape: inputShape});
  let output = input;
  for (const layer of layers) output = layer.apply(output) as tfl.SymbolicTensor;
  return tfl.model({inputs: input, outputs: output});
}

function names(model: tfl.LayersModel, selector?: BlockSelector): string[] {
  return findBlocks(model, selector).map(({name}) => name);
}

describe('findBlocks', () => {
  // models that are looked at alone leave no names that others want
  let others: Set<string>;
  const variables = (): Record<string, tf.Variable> => tf.engine().registeredVariables;
  beforeEach(() => (others = new Set(Object.keys(variables()))));
  afterEach(() => {
    for (const [name, variable] of Object.entries(variables()))
      if (!others.has(name)) variable.dispose();
  });

  describe('auto', () => {
    it('takes repeated custom layers with two matrices, and nothing beside them', () => {
      const model = stack([
        dense({units: 4, name: 'in'}),
        new TwoMatrices({width: 8, name: 'first'}),
        new TwoMatrices({width: 8, name: 'second'}),
        new TwoMatrices({width: 6, name: 'odd'}),
        dense({units: 4, name: 'hidden'}),
        dense({units: 2, name: 'head'}),
      ]);
      expect(names(model)).to.deep.equal(['first', 'second', 'odd']);
    });

    it('takes repeated nested models', () => {
      const model = stack([nested('a', 4, 8), nested('b', 4, 8), dense({units: 2, name: 'head'})]);
      const blocks = resolveBlocks(model);
      expect(blocks.map(({name}) => name)).to.deep.equal(['a', 'b']);
      expect(blocks[0]!.layers).to.deep.equal([model.getLayer('a')]);
      expect(blocks[0]!.weights.map(({shape}) => shape)).to.deep.equal([[4, 8], [8], [8, 4], [4]]);
    });

    it('takes for a repeat what is of one class and has weights of equal shapes, not one of these', () => {
      const layers = [
        new TwoMatrices({width: 8, name: 'first'}),
        new OtherTwoMatrices({width: 8, name: 'second'}),
        dense({units: 4, name: 'hidden'}),
        dense({units: 2, name: 'head'}),
      ];
      expect(names(stack(layers))).to.deep.equal(['first', 'second', 'hidden']);
      const widths = [8, 6].map((width) => new TwoMatrices({width, name: `of${width}`}));
      const twoWidths = stack([...widths, dense({units: 4, name: 'hidden'}), dense({units: 2})]);
      expect(names(twoWidths)).to.deep.equal(['of8', 'of6', 'hidden']);
      const functional = nested('a', 4, 8);
      const sequential = tfl.sequential({
        name: 'b',
        layers: [
          dense({units: 8, name: 'left', inputShape: [4]}),
          dense({units: 4, name: 'right'}),
        ],
      });
      expect(names(stack([functional, sequential, dense({units: 2})]))).to.deep.equal([
        ...['up', 'down', 'left', 'right'],
      ]);
    });

    it('looks for them inside a nested model that has no like beside it', () => {
      const body = stack([nested('a', 4, 8), nested('b', 4, 8)]);
      const sequential = tfl.sequential({layers: [body, dense({units: 2})]});
      expect(names(sequential)).to.deep.equal(['a', 'b']);
    });

    it('takes numbered groups of layers', () => {
      const layers = [0, 1, 10].flatMap((i) => [
        dense({units: 8, name: `h/${i}/fc1`}),
        tfl.layers.dropout({rate: 0.1, name: `h/${i}/drop`}),
        dense({units: 4, name: `h/${i}/fc2`}),
      ]);
      const model = stack([
        dense({units: 4, name: 'embed.0.proj'}),
        ...layers,
        dense({units: 2, name: 'head'}),
      ]);
      const blocks = resolveBlocks(model);
      expect(blocks.map(({name}) => name)).to.deep.equal(['h/0', 'h/1', 'h/10']);
      expect(blocks[2]!.layers.map(({name}) => name)).to.deep.equal(['h/10/fc1', 'h/10/fc2']);
    });

    it('keeps numbered groups of different nested models apart', () => {
      const part = (name: string, width: number): tfl.LayersModel =>
        tfl.sequential({
          name,
          layers: [0, 1].flatMap((i) => [
            dense({units: width, name: `b${i}.fc1`, inputShape: i === 0 ? [4] : undefined}),
            dense({units: 4, name: `b${i}.fc2`}),
          ]),
        });
      const model = stack([part('encoder', 3), part('decoder', 5), dense({units: 2})]);
      const blocks = resolveBlocks(model);
      expect(blocks.map(({name}) => name)).to.deep.equal([
        ...['encoder/b0', 'encoder/b1', 'decoder/b0', 'decoder/b1'],
      ]);
      for (const {weights} of blocks) expect(weights).to.have.length(4);
    });

    it('takes no numbered groups whose layers have other names or shapes', () => {
      for (const [second, width] of [
        ['out', 4],
        ['in', 5],
      ] as const) {
        const model = stack([
          dense({units: 4, name: 'fc0.in'}),
          tfl.layers.dropout({rate: 0.1, name: 'fc1.drop'}),
          dense({units: width, name: `fc1.${second}`}),
          dense({units: 4, name: 'between'}),
          dense({units: 2, name: 'head'}),
        ]);
        expect(names(model)).to.deep.equal(['fc0.in', `fc1.${second}`, 'between']);
      }
    });

    it('takes no numbered groups of norms or embeddings alone, but those that are in a group', () => {
      const model = stack([
        ...[0, 1].flatMap((i) => [
          dense({units: 4, name: ['first', 'second'][i]!}),
          tfl.layers.layerNormalization({name: `norm${i}.after`}),
          new Scale({name: `scale${i}.after`}),
        ]),
        dense({units: 2, name: 'head'}),
      ]);
      expect(names(model)).to.deep.equal(['first', 'second']);
      const blocks = [0, 1].flatMap((i) => [
        tfl.layers.layerNormalization({name: `b${i}.norm`}),
        dense({units: 4, name: `b${i}.fc`}),
      ]);
      const normed = findBlocks(stack([...blocks, dense({units: 2})]));
      expect(normed.map(({name, weights}) => [name, weights.length])).to.deep.equal([
        ['b0', 4],
        ['b1', 4],
      ]);
    });

    it('takes an odd one among numbered groups too', () => {
      const group = (i: number, width: number) => [
        dense({units: width, name: `b${i}.fc1`}),
        dense({units: 4, name: `b${i}.fc2`}),
      ];
      const model = stack([...group(0, 3), ...group(1, 8), ...group(2, 8)]);
      expect(names(model)).to.deep.equal(['b0', 'b1', 'b2']);
    });

    it('else takes every linear layer but the embedding and the head', () => {
      const model = tfl.sequential({
        layers: [
          tfl.layers.embedding({inputDim: 5, outputDim: 4, inputLength: 3, name: 'embed'}),
          tfl.layers.lstm({units: 4, returnSequences: true, name: 'lstm1'}),
          tfl.layers.lstm({units: 4, returnSequences: true, name: 'lstm2'}),
          tfl.layers.bidirectional({
            layer: tfl.layers.gru({units: 2, returnSequences: true}),
            mergeMode: 'concat',
            name: 'both',
          }),
          tfl.layers.timeDistributed({layer: dense({units: 4}), name: 'each'}),
          tfl.layers.layerNormalization({name: 'norm', axis: [1, 2]}),
          tfl.layers.flatten(),
          dense({units: 3, name: 'hidden'}),
          dense({units: 2, name: 'head'}),
        ],
      });
      expect(names(model)).to.deep.equal(['lstm1', 'lstm2', 'both', 'each', 'hidden']);
      expect(findBlocks(model)[2]!.weights).to.have.length(6);
    });

    it('leaves out the head of each output', () => {
      const input = tfl.input({shape: [3]});
      let hidden = input;
      for (const name of ['h0', 'h1']) {
        hidden = tfl.layers.dense({name, units: 3}).apply(hidden) as tfl.SymbolicTensor;
      }
      const outputs = ['o0', 'o1'].map(
        (name) => tfl.layers.dense({name, units: 1}).apply(hidden) as tfl.SymbolicTensor,
      );
      const model = tfl.model({inputs: input, outputs});
      expect(findBlocks(model).map(({name}) => name)).to.deep.equal(['h0', 'h1']);
      model.dispose();
    });

    it('takes the convolutions of a conv net, its batch normalisation stays on', () => {
      const model = tfl.sequential({
        layers: [
          tfl.layers.conv2d({inputShape: [6, 6, 1], filters: 2, kernelSize: 3, name: 'conv1'}),
          tfl.layers.batchNormalization({name: 'norm'}),
          tfl.layers.separableConv2d({filters: 2, kernelSize: 3, name: 'separable'}),
          tfl.layers.prelu({name: 'prelu'}),
          tfl.layers.flatten(),
          dense({units: 2, name: 'head'}),
        ],
      });
      expect(names(model)).to.deep.equal(['conv1', 'separable']);
    });

    it('counts a layer used twice once', () => {
      const shared = dense({units: 4, name: 'shared'});
      const model = stack([shared, dense({units: 4, name: 'between'}), shared, dense({units: 2})]);
      expect(names(model)).to.deep.equal(['shared', 'between']);
    });

    it('counts a layer that two nested models share once', () => {
      const shared = dense({units: 4, name: 'shared'});
      const around = (name: string, width: number): tfl.LayersModel => {
        const input = tfl.input({shape: [4]});
        const hidden = dense({units: width, name: `${name}-in`}).apply(input);
        const back = dense({units: 4, name: `${name}-out`}).apply(hidden);
        return tfl.model({name, inputs: input, outputs: shared.apply(back) as tfl.SymbolicTensor});
      };
      const model = stack([around('a', 3), around('b', 5), dense({units: 2, name: 'head'})]);
      const found = resolveBlocks(model).map(({name, layers}) => [name, layers.length]);
      expect(found).to.deep.equal(
        ['a-in', 'a-out', 'shared', 'b-in', 'b-out'].map((name) => [name, 1]),
      );
      for (const name of ['shared', 'a/shared']) expect(names(model, [name])).to.deep.equal([name]);
      expect(() => findBlocks(model, ['c'])).to.throw(
        /: a \(a model\), a\/a-in, a\/a-out, b \(a model\), b\/b-in, b\/b-out, a\/shared, head$/,
      );
      const both = resolveBlocks(model, ({name}) => (/^[ab]$/.test(name) ? 'both' : null));
      expect(both.map(({name, layers}) => [name, layers.length])).to.deep.equal([['both', 2]]);
      expect(both[0]!.weights, 'each weight once').to.have.length(10);
    });

    it('does not depend on what is frozen', () => {
      const [a, b] = [nested('a', 4, 8), nested('b', 4, 8)];
      const model = stack([a, b]);
      const weights = findBlocks(model).map((block) => [...block.weights].sort());
      a.layers[1]!.trainable = false;
      b.trainable = false;
      expect(findBlocks(model).map((block) => [...block.weights].sort())).to.deep.equal(weights);
    });

    it('finds the blocks of gpt-tfjs', () => {
      const {model} = GPTLMHeadModel({
        ...{name: 'gpt', nLayer: 3, nHead: 2, nEmbd: 8, vocabSize: 11, blockSize: 6},
        ...{dropout: 0, embdDrop: 0, residDrop: 0},
      });
      const blocks = findBlocks(model);
      expect(blocks.map(({name}) => name)).to.deep.equal(['gpt/h/0', 'gpt/h/1', 'gpt/h/2']);
      for (const {weights} of blocks) expect(weights).to.have.length(12);
    });
  });

  it('returns the names of the variables, as plain JSON', () => {
    const model = stack([dense({units: 3, name: 'body'}), dense({units: 2, name: 'head'})]);
    const blocks = findBlocks(model);
    expect(JSON.parse(JSON.stringify(blocks))).to.deep.equal(blocks);
    const variables = tf.engine().state.registeredVariables;
    for (const name of blocks[0]!.weights) expect(variables[name]!.name).to.equal(name);
  });

  describe('with a selector', () => {
    it('takes layers by name, at any depth', () => {
      const model = stack([nested('a', 4, 8), dense({units: 4, name: 'b'})]);
      expect(names(model, ['b', 'up'])).to.deep.equal(['b', 'up']);
      expect(names(model, ['a'])).to.deep.equal(['a']);
    });

    it('tells equal names apart by the models around them', () => {
      const model = stack([nested('a', 4, 8), nested('b', 4, 8)]);
      expect(names(model, ['a/up', 'b/up'])).to.deep.equal(['a/up', 'b/up']);
      expect(names(model, /^up$/)).to.deep.equal(['a/up', 'b/up']);
      expect(() => findBlocks(model, ['up'])).to.throw(
        `several layers are named 'up'; say which: 'a/up', 'b/up'`,
      );
    });

    it('takes the outermost layers that a regular expression matches', () => {
      const model = stack([nested('a', 4, 8), nested('up2', 4, 8), dense({units: 2})]);
      for (const pattern of [/up/, /up/g, /p/y, /UP/gi, /^(x)?up/]) {
        expect(names(model, pattern), String(pattern)).to.deep.equal(['up', 'up2']);
      }
    });

    it('groups layers by the first capture group', () => {
      const layers = [0, 1].flatMap((i) => [
        dense({units: 4, name: `h${i}a`}),
        tfl.layers.dropout({rate: 0, name: `h${i}drop`}),
        dense({units: 4, name: `h${i}b`}),
      ]);
      const blocks = findBlocks(stack(layers), /^(h\d)/);
      expect(blocks.map(({name, weights}) => [name, weights.length])).to.deep.equal([
        ['h0', 4],
        ['h1', 4],
      ]);
    });

    it('groups layers by a function', () => {
      const model = stack([nested('a', 4, 8), nested('b', 4, 8)]);
      const byKind = (layer: tfl.layers.Layer) =>
        layer.name === 'up' || layer.name === 'down' ? layer.name : null;
      const blocks = findBlocks(model, byKind);
      expect(blocks.map(({name, weights}) => [name, weights.length])).to.deep.equal([
        ['up', 4],
        ['down', 4],
      ]);
    });

    it('asks a function for the inside of a nested model only if that is in no block', () => {
      const model = stack([nested('a', 4, 8), nested('b', 4, 8), dense({units: 2, name: 'head'})]);
      const asked = new Set<string>();
      const blocks = resolveBlocks(model, ({name}) => {
        asked.add(name);
        return {a: 'first', up: 'second'}[name];
      });
      expect(blocks.map(({name}) => name)).to.deep.equal(['first', 'second']);
      expect(blocks[0]!.layers).to.deep.equal([model.getLayer('a')]);
      expect(blocks[1]!.layers).to.deep.equal([
        (model.getLayer('b') as unknown as tfl.LayersModel).getLayer('up'),
      ]);
      expect([...asked].filter((name) => !name.startsWith('input'))).to.have.members([
        ...['a', 'b', 'up', 'down', 'head'],
      ]);
    });

    it('leaves out what has no weights', () => {
      const model = stack([
        dense({units: 4, name: 'body'}),
        tfl.layers.dropout({rate: 0, name: 'drop'}),
        dense({units: 2, name: 'head'}),
      ]);
      expect(names(model, /body|drop/)).to.deep.equal(['body']);
      expect(names(model, ({name}) => name.slice(0, 4))).to.deep.equal(['body', 'head']);
    });
  });

  it('says what is wrong and the way out', () => {
    const model = stack([
      nested('a', 4, 8),
      tfl.layers.dropout({rate: 0, name: 'drop'}),
      dense({units: 2, name: 'head'}),
    ]);
    expect(() => findBlocks(model, ['c'])).to.throw(
      `findBlocks: the model has no layer 'c'. ` +
        'Layers with weights: a (a model), a/up, a/down, head',
    );
    expect(() => findBlocks(model, ['drop'])).to.throw(`layer 'drop' has no weights`);
    expect(() => findBlocks(model, ['a', 'up'])).to.throw(
      /blocks 'a' and 'up' share the weight 'up\/kernel.*'; make them one block/,
    );
    for (const selector of [/nothing/, [], () => null]) {
      expect(() => findBlocks(model, selector)).to.throw(
        /found no blocks by .*pass blocks: an array/,
      );
    }
    expect(() => findBlocks(stack([dense({units: 2})]))).to.throw(`found no blocks by 'auto'`);
    expect(() => findBlocks(stack([tfl.layers.dropout({rate: 0})]))).to.throw(
      /Layers with weights: none$/,
    );
    expect(() => findBlocks({layers: []} as unknown as tfl.LayersModel)).to.throw(
      'findBlocks: model must be a tf.LayersModel',
    );
    expect(() => findBlocks(model, 'all' as 'auto')).to.throw(
      `blocks must be 'auto', an array of layer names, a RegExp or a function; got 'all'`,
    );
  });

  it('may find none by itself, where the caller can do without', () => {
    const model = stack([dense({units: 2})]);
    expect(resolveBlocks(model, 'auto', {mayBeNone: true})).to.deep.equal([]);
    expect(() => resolveBlocks(model, /nothing/, {mayBeNone: true})).to.throw('found no blocks by');
  });
});
