import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {deferHead} from './deferred_head';
import {onlyInput, onlyShape, weightInitializer, type LayerArgs, type WeightInit} from './layer';
import {linear} from './linear';

export interface LlamaHeadArgs extends LayerArgs, WeightInit {
  vocabSize: number;
  /** In training, leave the head to the loss. */
  headInLoss: boolean;
}

/**
 * The head of a model with untied weights: hidden states `[batch, seq, hidden]` to logits
 * `[batch, seq, vocab]`; weight `weight` `[hidden, vocab]`.
 *
 * Its declared output shape has null for the vocabulary: `fit` compares labels with the declared
 * shape and would refuse integer labels `[batch, seq, 1]`.
 */
export class LlamaHead extends tfl.layers.Layer {
  private readonly args: LlamaHeadArgs;
  private weight!: tfl.LayerVariable;

  constructor(args: LlamaHeadArgs) {
    super(args);
    this.args = args;
  }

  static get className(): string {
    return 'LlamaHead';
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    const shape = [onlyShape(inputShape).at(-1)!, this.args.vocabSize];
    const initializer = weightInitializer(this.args, {name: 'weight', kind: 'kernel'});
    this.weight = this.addWeight('weight', shape, 'float32', initializer);
    super.build(inputShape);
  }

  override computeOutputShape(inputShape: tfl.Shape | tfl.Shape[]): tfl.Shape {
    return [...onlyShape(inputShape).slice(0, -1), null];
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Record<string, unknown>): tf.Tensor {
    return tf.tidy(() => {
      this.invokeCallHook(inputs, kwargs);
      const [x, kernel] = [onlyInput(inputs), this.weight.read()];
      const defer = this.args.headInLoss && kwargs['training'] === true;
      return defer ? deferHead(x, {kernel, transposed: false}) : linear(x, kernel);
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    const {vocabSize, headInLoss, initializerRange, seed} = this.args;
    return {...super.getConfig(), vocabSize, headInLoss, initializerRange, seed};
  }
}
tf.serialization.registerClass(LlamaHead);
