import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {matrixOf} from '../model/packed_matrix';
import {deferHead, isDeferred} from './deferred_head';
import {headLogits} from './head_pieces';
import {onlyInput, onlyShape, weightInitializer, type LayerArgs, type WeightInit} from './layer';

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
    this.args.onKernel?.(`${this.name}.weight`, this.weight);
    super.build(inputShape);
  }

  override computeOutputShape(inputShape: tfl.Shape | tfl.Shape[]): tfl.Shape {
    return [...onlyShape(inputShape).slice(0, -1), null];
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Record<string, unknown>): tf.Tensor {
    return tf.tidy(() => {
      this.invokeCallHook(inputs, kwargs);
      const x = onlyInput(inputs);
      const head = {kernel: matrixOf(this.weight), transposed: false};
      return isDeferred(this.args.headInLoss, kwargs) ? deferHead(x, head) : headLogits(x, head);
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    const {vocabSize, headInLoss, initializerRange, seed} = this.args;
    return {...super.getConfig(), vocabSize, headInLoss, initializerRange, seed};
  }
}
tf.serialization.registerClass(LlamaHead);
