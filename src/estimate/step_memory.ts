/** The memory of a step of this library, for LLaMA-style models: what is there at each moment of it, and when that is most. */
import {SMALL_WEIGHT, UPDATED_TOGETHER} from '../kernels/capabilities';
import type {BlockRole} from '../llama/architectures/weights';
import {areBlocksRecomputed} from '../tape/recompute_layers';
import {architectures} from '../llama/architectures';
import type {ResolvedConfig} from '../llama/config';
import {keptOfFirstRun, partsOfBlock, type BlockSetting} from './block_programs';
import {headLoss, rowsWithLogits} from './head_loss';
import {PIECE_SIZE} from '../tape/factored_gradient';
import type {ResolvedEstimateOptions} from './options';
import {numbersIn, type ModelSizes} from './sizes';
import {
  FLOAT,
  bytesOf,
  Ledger,
  Recorded,
  runOnce,
  type Bytes,
  type Program,
  type Weight,
} from './tape';
import {
  isInTerms,
  planTraining,
  stateBytes,
  sumBytes,
  trainedIn,
  waitingBytes,
  weightBytes,
  type PlannedWeight,
  type TrainingPlan,
} from './training_plan';

/** What a step takes in bytes when it takes the most. */
export function stepMemory(sizes: ModelSizes, options: ResolvedEstimateOptions): Bytes {
  const plan = planTraining(sizes, options);
  const ledger = new Ledger();
  ledger.add('weights', weightBytes(plan, options));
  const all = trainedIn(plan);
  const total = (bytes: (weight: PlannedWeight) => number): number =>
    all.reduce((sum, weight) => sum + bytes(weight), 0);
  ledger.add('state', total(stateBytes));
  // the sums of the earlier batches of the step
  if (options.accumulate > 1) ledger.add('gradients', total(sumBytes));
  new Step(sizes.llama, options, plan, ledger).run();
  return ledger.peak;
}

/** How a block runs. */
interface BlockPrograms {
  whole: Program;
  /** The parts that run again one by one. */
  parts: Program[];
  /** Bytes that it keeps for that beside its input. */
  kept: number;
}

class Step {
  private readonly hidden: number;
  private readonly areBlocksRecomputed: boolean;

  constructor(
    private readonly config: ResolvedConfig,
    private readonly options: ResolvedEstimateOptions,
    private readonly plan: TrainingPlan,
    private readonly ledger: Ledger,
  ) {
    this.hidden = FLOAT * options.batchSize * options.maxLength * config.hiddenSize;
    this.areBlocksRecomputed = areBlocksRecomputed(
      options.gradientCheckpointing,
      plan.blocks.length,
    );
  }

  run(): void {
    const {ledger, hidden, config, options, plan} = this;
    const blocks = plan.blocks.map((_, i) => this.partsOf(i));
    // the embedding's rows
    ledger.add('activations', hidden);
    const recorded = blocks.map(({whole, kept}) => {
      if (!this.areBlocksRecomputed) return new Recorded(whole, ledger, hidden, false);
      runOnce(whole, ledger);
      ledger.add('activations', kept);
      return null;
    });
    // the last norm's value
    ledger.add('activations', hidden);
    const [embedding, head = embedding] = plan.vocabulary as [PlannedWeight, PlannedWeight?];
    const isTied = plan.vocabulary.length === 1;
    const positions = options.batchSize * options.maxLength;
    const rows = rowsWithLogits(positions, options);
    const loss = headLoss(ledger, head, {config, options, positions, rows});
    ledger.free('activations', hidden);
    const ofHead = loss.backward();
    if (head.isTrained && !isTied) this.take(head, ofHead);
    // the last norm goes back
    ledger.pass('activations', hidden);
    for (const weight of plan.others) if (weight.isTrained) this.make(weight);
    ledger.free('activations', hidden);
    for (let i = blocks.length - 1; i >= 0; i--) this.goBack(blocks[i]!, recorded[i]!);
    if (embedding.isTrained) this.lookUpBack(embedding, isTied ? ofHead : 0);
    else ledger.free('activations', hidden);
    this.update();
  }

  /** The parts of a block that run again one by one, and the block as a whole. */
  private partsOf(i: number): BlockPrograms {
    const {config, options, plan} = this;
    const {gradientCheckpointing, frozenDtype, batchSize: batch, maxLength: length} = options;
    const names = Object.keys(architectures[config.architecture].weights) as BlockRole[];
    const own = plan.blocks[i]!;
    const weights = Object.fromEntries(names.map((name, k) => [name, own[k]!]));
    const isTrained = plan.isOn[i]!;
    const matrices = own.filter(({shape}) => shape.length === 2);
    const widened =
      frozenDtype === 'BF16' && !isTrained
        ? FLOAT * numbersIn(matrices.map(({shape}) => shape))
        : 0;
    const setting: BlockSetting = {
      ...{config, backend: options.backend, batch, length, weights, isTrained, widened},
      isAdapted: own.some(({adapterRank}) => adapterRank > 0),
      hasDropout: options.dropout > 0,
      isRecomputed: this.areBlocksRecomputed,
    };
    const attention = ['q', 'k', 'v', 'o'].map((role) => weights[role]!);
    const ofAttention = attention.reduce((sum, weight) => sum + bytesOf(weight), 0);
    const isSplit = gradientCheckpointing === 'auto' && this.hidden >= 2 * ofAttention;
    const [whole] = partsOfBlock(setting, false) as [Program];
    const kept = keptOfFirstRun(setting);
    return {parts: isSplit ? partsOfBlock(setting, true) : [whole], whole, kept};
  }

  /** The backward pass of a block, and of what comes to it: the gradient of its value becomes that of its input. */
  private goBack({parts, kept}: BlockPrograms, recorded: Recorded | null): void {
    const {ledger, hidden} = this;
    if (recorded) {
      recorded.backward((weight) => this.take(weight as PlannedWeight, bytesOf(weight)));
      ledger.free('activations', hidden);
      return;
    }
    const collected: Weight[] = [];
    const between = parts.slice(0, -1);
    for (const part of between) runOnce(part, ledger);
    for (const part of [...parts].reverse()) {
      new Recorded(part, ledger, hidden, true).backward((weight) => collected.push(weight));
      // what the part read
      ledger.free('activations', hidden);
    }
    ledger.free('activations', kept);
    for (const weight of collected) this.take(weight as PlannedWeight, bytesOf(weight));
  }

  /** The gradient of the look-up, joined with that of the head if both have one weight. */
  private lookUpBack(embedding: PlannedWeight, ofHead: number): void {
    const {ledger} = this;
    if (isInTerms(embedding)) {
      this.takeTerms(embedding, ofHead);
      ledger.free('activations', this.hidden);
      return;
    }
    const whole = bytesOf(embedding);
    if (ofHead > 0) this.addRows(whole);
    else ledger.add('gradients', whole);
    ledger.free('activations', this.hidden);
    this.take(embedding, whole);
  }

  /** Adds the rows that were looked up to the head's gradient of so many bytes, in place where the backend can. */
  private addRows(whole: number): void {
    const {backend} = this.options;
    const isInPlace = backend === 'wasm' || (backend === 'tensorflow' && this.config.headInLoss);
    // on cpu the rows become a matrix first
    if (!isInPlace) this.ledger.pass('gradients', backend === 'cpu' ? 2 * whole : whole);
  }

  private make(weight: PlannedWeight): void {
    this.ledger.add('gradients', bytesOf(weight));
    this.take(weight, bytesOf(weight));
  }

  /** The optimizer takes a gradient of so many bytes that is there, and keeps what waits for the others. */
  private take(weight: PlannedWeight, bytes: number): void {
    const {ledger} = this;
    if (isInTerms(weight)) {
      this.takeTerms(weight, bytes);
      return;
    }
    const {accumulate, backend} = this.options;
    if (accumulate > 1) {
      // what is added to the sum, then the new sum beside the one before
      const isProjected = weight.projection && !weight.isMovedWhole;
      const summand = isProjected ? waitingBytes(weight) : bytes;
      if (isProjected) ledger.pass('gradients', summand);
      ledger.free('gradients', bytes);
      ledger.pass('gradients', summand + sumBytes(weight));
      return;
    }
    // for its norm it is squared, where no kernel does without
    if (backend === 'webgpu') ledger.pass('gradients', bytes);
    if (!weight.projection) return;
    ledger.add('gradients', waitingBytes(weight));
    ledger.free('gradients', bytes);
  }

  /** A gradient in terms: some rows of it are made at a time. */
  private takeTerms(weight: PlannedWeight, bytes: number): void {
    const {ledger, options} = this;
    const waiting = waitingBytes(weight);
    // some rows of the weight, their logits, the probabilities, and the product
    const widest = Math.max(options.batchSize * options.maxLength, this.config.hiddenSize);
    const pieces = 4 * Math.min(FLOAT * PIECE_SIZE, FLOAT * widest * this.config.vocabSize);
    ledger.add('gradients', pieces);
    ledger.add('gradients', waiting);
    ledger.pass('gradients', waiting);
    // with several batches a step it is added to the sum
    ledger.free('gradients', pieces + bytes + (options.accumulate > 1 ? waiting : 0));
  }

  /** Moves the weights, when all gradients wait. */
  private update(): void {
    const {ledger, plan, options} = this;
    const all = trainedIn(plan);
    const whole = all.filter(({isMovedWhole}) => isMovedWhole);
    if (options.accumulate > 1) {
      // each sum becomes a mean, one after the other
      for (const weight of all) ledger.pass('gradients', sumBytes(weight));
      // which is squared for its norm and projected
      for (const weight of whole) {
        ledger.pass('gradients', bytesOf(weight));
        ledger.add('gradients', waitingBytes(weight) - bytesOf(weight));
      }
    }
    const trained = all.filter(({isMovedWhole}) => !isMovedWhole);
    const largest = Math.max(0, ...trained.map((weight) => bytesOf(weight)));
    const made = {
      tensorflow: madeTogether(trained),
      wasm: 0,
      cpu: 3 * largest,
      webgpu: 3 * largest,
    };
    ledger.pass('gradients', made[options.backend]);
    if (whole.length === 0) return;
    // these are moved after all others, one by one in the order of their gradients, by plain ops
    for (const weight of trained) ledger.free('gradients', waitingBytes(weight));
    const [embedding, head] = plan.vocabulary;
    const inOrder = [head, ...plan.blocks.flat().reverse(), embedding];
    for (const weight of inOrder) {
      if (!weight || !whole.includes(weight)) continue;
      ledger.pass('gradients', MADE_OF_WHOLE * bytesOf(weight));
      ledger.free('gradients', waitingBytes(weight));
    }
  }
}

/** Tensors of the size of a matrix that are there at once when its whole gradient moves it, see `optim/variants`. */
const MADE_OF_WHOLE = 3;

/**
 * New weights and moments of the projected and small weights that tensorflow moves by one graph. All others are changed in place.
 */
function madeTogether(trained: readonly PlannedWeight[]): number {
  const most = FLOAT * UPDATED_TOGETHER;
  const inGraphs = trained.filter(
    (weight) => bytesOf(weight) <= (weight.projection ? most : FLOAT * SMALL_WEIGHT),
  );
  const weights = inGraphs.reduce((sum, weight) => sum + bytesOf(weight), 0);
  const moments = inGraphs.reduce((sum, weight) => sum + 2 * waitingBytes(weight), 0);
  return (weights + moments) * Math.min(1, most / weights);
}
