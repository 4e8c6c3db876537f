/** llama.cpp's names of the weights of a model. */
import {architectures, type ArchitectureName} from '../../architectures';
import {embedding, finalNorm, head, type BlockRole, type Weight} from '../../architectures/weights';
import {EMBEDDING_TENSOR, HEAD_TENSOR} from './config';

/** A weight as Hugging Face names it, and what it is in its block. */
interface HuggingFaceName {
  name: string;
  kind: Weight['kind'];
  role?: BlockRole;
}

/** By the role of a weight in its block, after `blk.0.`. */
const blockTensors: Readonly<Record<BlockRole, string>> = {
  q: 'attn_q.weight',
  qBias: 'attn_q.bias',
  qNorm: 'attn_q_norm.weight',
  k: 'attn_k.weight',
  kBias: 'attn_k.bias',
  kNorm: 'attn_k_norm.weight',
  v: 'attn_v.weight',
  vBias: 'attn_v.bias',
  o: 'attn_output.weight',
  gate: 'ffn_gate.weight',
  up: 'ffn_up.weight',
  down: 'ffn_down.weight',
  norm: 'attn_norm.weight',
  outputNorm: 'post_attention_norm.weight',
  mlpNorm: 'ffn_norm.weight',
  mlpOutputNorm: 'post_ffw_norm.weight',
};

const outside: Readonly<Record<string, Weight>> = {
  [EMBEDDING_TENSOR]: embedding,
  'output_norm.weight': finalNorm,
  [HEAD_TENSOR]: head,
};

/** What Hugging Face calls a tensor; null if the architecture has no such weight. */
export function huggingFaceName(
  architecture: ArchitectureName,
  tensor: string,
): HuggingFaceName | null {
  if (Object.hasOwn(outside, tensor)) return outside[tensor]!;
  const [, block, part] = /^blk\.(0|[1-9]\d*)\.(.+)$/.exec(tensor) ?? [];
  const weights = Object.entries(architectures[architecture].weights) as Array<[BlockRole, Weight]>;
  const found = weights.find(([role]) => blockTensors[role] === part);
  if (!found) return null;
  const [role, {name, kind}] = found;
  return {name: `model.layers.${block}.${name}`, kind, role};
}
