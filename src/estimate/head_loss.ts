/** The loss with the head in it, as `src/llama/head_loss` and `loss_over_vocabulary` compute it. */
import type {ResolvedConfig} from '../llama/config';
import {ROWS_MULTIPLE, rowsOfChunk} from '../llama/head_loss';
import {PIECE_SIZE} from '../llama/head_pieces';
import {CHUNK_SIZE} from '../llama/row_losses';
import type {ResolvedEstimateOptions} from './options';
import {FLOAT, bytesOf, type Ledger} from './tape';
import {isInTerms, type PlannedWeight} from './training_plan';

interface LossSetting {
  config: ResolvedConfig;
  options: ResolvedEstimateOptions;
  /** Positions of a batch. */
  positions: number;
  /** Those that have logits. */
  rows: number;
}

/**
 * How many positions have logits: those with labels that count, rounded up to a multiple of 64, or all if that is not less; on
 * webgpu, which cannot read labels within a step, all.
 */
export function rowsWithLogits(
  positions: number,
  {countedLabels, backend}: Pick<ResolvedEstimateOptions, 'countedLabels' | 'backend'>,
): number {
  if (backend === 'webgpu') return positions;
  const counted = Math.ceil(countedLabels * positions);
  return Math.min(positions, ROWS_MULTIPLE * Math.max(1, Math.ceil(counted / ROWS_MULTIPLE)));
}

/**
 * Runs the forward pass; the hidden states that it reads are the caller's.
 *
 * @returns What goes back: the gradient of the hidden states is an activation then, and that of the head, of as many bytes as are
 *   returned, a gradient.
 */
export function headLoss(
  ledger: Ledger,
  head: PlannedWeight,
  setting: LossSetting,
): {backward(): number} {
  const {config, positions, rows} = setting;
  if (!config.headInLoss) return overLogits(ledger, head, {...setting, rows: positions});
  const isWhole = head.isTrained && !isInTerms(head);
  const isPicked = rows < positions;
  const picked = FLOAT * rows * config.hiddenSize;
  if (isPicked) ledger.add('activations', picked);
  const loss = isWhole ? overRows(ledger, head, setting) : overVocabulary(ledger, head, setting);
  if (!isPicked) return loss;
  // kept only by what keeps what it reads
  if (isWhole) ledger.free('activations', picked);
  return {
    backward() {
      const bytes = loss.backward();
      // the gradient of those picked becomes that of all
      ledger.add('activations', FLOAT * positions * config.hiddenSize);
      ledger.free('activations', picked + (isWhole ? 0 : picked));
      return bytes;
    },
  };
}

/** The head is a layer before the loss: all logits are there, then their gradient beside them. */
function overLogits(
  ledger: Ledger,
  head: PlannedWeight,
  {config, options, rows}: LossSetting,
): {backward(): number} {
  const {hiddenSize, vocabSize} = config;
  const [hidden, logits] = [FLOAT * rows * hiddenSize, FLOAT * rows * vocabSize];
  const kept = head.isTrained ? hidden : 0;
  ledger.add('activations', logits + kept);
  return {
    backward() {
      ledger.add('activations', logits);
      // its parts, while they are joined
      if (!hasLossKernel(options) && rows * vocabSize > CHUNK_SIZE)
        ledger.pass('activations', logits);
      ledger.free('activations', logits);
      const ofHead = head.isTrained ? bytesOf(head) : 0;
      ledger.add('activations', hidden);
      ledger.add('gradients', ofHead);
      ledger.free('activations', logits + kept);
      return ofHead;
    },
  };
}

/** Then it has `OwLoreAccumulate`, too. */
function hasLossKernel({backend}: ResolvedEstimateOptions): boolean {
  return backend === 'tensorflow' || backend === 'wasm';
}

function overRows(
  ledger: Ledger,
  head: PlannedWeight,
  {config, options, rows}: LossSetting,
): {backward(): number} {
  const {hiddenSize, vocabSize} = config;
  const hidden = FLOAT * rows * hiddenSize;
  const kernel = bytesOf(head);
  const atATime = rowsOfChunk(rows, hiddenSize, hiddenSize * vocabSize);
  const logits = FLOAT * atATime * vocabSize;
  // logits and their gradient; op by op softmax, its product with the weights, and what is scattered into, too
  const made = (hasLossKernel(options) ? 2 : 4) * logits;
  const isOne = atATime >= rows;
  ledger.pass('activations', made);
  ledger.pass('activations', made + (isOne ? 0 : hidden));
  if (isOne) {
    // beside the gradients of the logits and of the hidden states
    ledger.add('activations', logits + hidden);
    ledger.add('gradients', kernel);
    ledger.free('activations', logits + hidden);
  } else {
    // the head's gradient of all rows so far, that of some rows, and their sum where it is another tensor
    ledger.add('gradients', 2 * kernel);
    ledger.pass('activations', made / 2 + hidden);
    ledger.pass('gradients', hidden + (hasLossKernel(options) ? 0 : kernel));
    ledger.free('gradients', kernel);
    ledger.pass('activations', 2 * hidden);
  }
  // the gradient of the hidden states is there before it is asked for
  ledger.add('activations', hidden);
  return {backward: () => kernel};
}

function overVocabulary(
  ledger: Ledger,
  head: PlannedWeight,
  {config, rows}: LossSetting,
): {backward(): number} {
  const {hiddenSize, vocabSize} = config;
  const hidden = FLOAT * rows * hiddenSize;
  const most = Math.min(
    vocabSize,
    Math.max(1, Math.floor(PIECE_SIZE / Math.max(hiddenSize, rows))),
  );
  const [logits, piece] = [FLOAT * rows * most, FLOAT * hiddenSize * most];
  // the piece of the head, its logits and their exponentials; the means and the labels' rows, before and after
  ledger.pass('activations', piece + 2 * logits + 5 * hidden);
  // the hidden states, and their gradient for a loss of weight 1
  ledger.add('activations', 2 * hidden);
  return {
    backward() {
      ledger.add('activations', hidden);
      const terms = isInTerms(head) ? 2 * hidden : 0;
      ledger.add('gradients', terms);
      ledger.free('activations', 2 * hidden);
      return terms;
    },
  };
}
