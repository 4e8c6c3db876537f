/**
 * What PyTorch takes for the methods of the OwLore paper (Li et al. 2024), as its Tables 2 and 4 give it for LLaMA2-7B in bfloat16.
 * Everything has the type of the weights, the moments of Adam as well: of the accountings that suggest themselves this is the one
 * by which the figures come out.
 */
import {BYTES} from '../../files/float_type';
import {paperMethods, type MethodParts} from '../../methods';
import {planProjection, stateSize} from '../../owlore/optimizer/state/projector';
import type {ResolvedEstimateOptions} from './options';
import {numbersIn, type ModelSizes, type Shape} from './sizes';
import type {Bytes} from './training_memory';

/**
 * Numbers kept for the backward pass per token, block and unit of the hidden size: the two figures that are fitted, to Tables 2
 * and 4 with 16 sequences of 512 tokens. The paper's LoRA takes twice as much, which none of its weights explains.
 */
const FITTED_ACTIVATIONS = {lora: 5.75, others: 3};

/** Bytes of a training by PyTorch. */
export function torchMemory(
  {blocks, vocabulary, others, llama}: ModelSizes,
  {method, gamma, rank, batchSize, maxLength, dtype}: ResolvedEstimateOptions,
): Bytes {
  const {lowRank, sampling, lora = false}: MethodParts = paperMethods[method];
  const bytes = BYTES[dtype];
  const all = numbersIn([...blocks.flat(), ...vocabulary, ...others]);
  const rest = sampling?.alwaysOn === false ? [] : [...vocabulary, ...others];
  const [block] = blocks as [Shape[]];
  const adapters = numbersIn(
    blocks.flat().flatMap((shape) => (shape.length === 2 ? shape.map((size) => [size, rank]) : [])),
  );
  const trained = lora ? adapters : gamma * numbersIn(block) + numbersIn(rest);
  const blockState = lowRank
    ? block.reduce((sum, shape) => sum + projectedState(shape, rank), 0)
    : 2 * numbersIn(block);
  const tokens = batchSize * maxLength;
  const perToken = FITTED_ACTIVATIONS[lora ? 'lora' : 'others'] * blocks.length * llama.hiddenSize;
  return {
    weights: bytes * (all + (lora ? adapters : 0)),
    gradients: bytes * trained,
    state: bytes * (lora ? 2 * adapters : gamma * blockState + 2 * numbersIn(rest)),
    activations: bytes * tokens * perToken,
  };
}

/** As GaLore's code has it: the basis spans the smaller dimension. */
function projectedState(shape: Shape, rank: number): number {
  const projection = planProjection(shape, rank, 'paper');
  return projection ? stateSize(projection) : 2 * numbersIn([shape]);
}
