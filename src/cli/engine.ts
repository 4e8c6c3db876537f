/** What trains the model of a run: TensorFlow.js in this process, or PyTorch in others. */
import type * as tfl from '@tensorflow/tfjs-layers';
import type {LayerSamplingCallback} from '../owlore/layer_sampling_callback';
import type {TextDataset} from '../llama/index';
import type {Lora} from '../lora/index';
import type {OwLoreOptimizer} from '../owlore/owlore_optimizer';
import type {Context} from './command';
import type {FinetuneSettings} from './finetune_options';
import type {RunFolder} from './run_folder';
import type {TrainingData} from './training_data';
import type {MonitorState, TrainingMonitor} from './training_monitor';

/** A training that is ready to begin. */
export interface EngineRun {
  /** The options in effect. */
  settings: FinetuneSettings;
  /** Those that its checkpoints have. */
  options: Record<string, unknown>;
  model: tfl.LayersModel;
  optimizer: OwLoreOptimizer;
  /** Null if all blocks train. */
  callback: LayerSamplingCallback | null;
  lora: Lora | null;
  data: TrainingData;
  /** Pass after pass over what is trained on. */
  training: TextDataset;
  monitor: TrainingMonitor;
  folder: RunFolder;
  context: Context;
  /** A callback like `callback` that has drawn the blocks of all steps of the run, when it is attached. */
  drawnAhead(): LayerSamplingCallback | null;
  /** Saves a checkpoint, when there is room for it. */
  save(save: (target: string) => Promise<unknown>): Promise<void>;
  /**
   * Says where a run goes on, gives the monitor what it had seen until then, and ends the log there. The model has its weights.
   *
   * @param reached As a checkpoint has it. Null if there is none.
   */
  goOn(reached: MonitorState | null): Promise<void>;
}

/** What a training that has come to its end leaves, beside the model with the weights that are kept. */
export interface EngineOutcome {
  /** How many steps changed nothing. */
  skippedSteps: number;
  /**
   * Saves a checkpoint of the end, for a run that fails after it: one that goes on from there only has to write the model. Null if there
   * is one.
   */
  saveCheckpoint: (() => Promise<void>) | null;
}

/** An engine. */
export interface Engine {
  /**
   * Checks that it can do what a run asks for, before anything is read or written.
   *
   * @returns The settings, with what depends on the machine filled in.
   * @throws UsageError that says the way out.
   */
  check(settings: FinetuneSettings, context: Context): Promise<FinetuneSettings>;
  /**
   * Trains the model, from where a run that goes on has stopped.
   *
   * @throws the reason of the command's signal, if that has stopped it; a checkpoint is there then.
   */
  train(run: EngineRun): Promise<EngineOutcome>;
}
