/** Writes the report of a run: one HTML file that needs nothing else, neither beside it nor from a network. */
import {pageOf, writePage} from './page';
import {template} from './report_files';

/** What a run leaves behind; the report shows this and nothing else. Sizes are in bytes. */
export interface RunRecord {
  /** The heading, which is the title of the window as well, and the sentence below it. */
  title: string;
  lead: string;
  method: string;
  backend: string;
  parameters: number;
  seconds: number;
  settings: Record<string, string | number>;
  /** Commands that go on from here, each with what it does; empty for none. */
  next: {what: string; command: string}[];
  /** What the scores are, or null where nothing draws the blocks. */
  scoreTitle: string | null;
  /** What trains all the time of what is in no block: embedding, last norm and head, the norm alone, or nothing. */
  outsideBlocks: 'all' | 'norm' | 'none';
  blocks: BlockRecord[];
  steps: StepRecord[];
  /** Held-out loss after so many steps. */
  heldOut: {step: number; loss: number}[];
  /** The step whose model was saved, of which there is a held-out loss. */
  savedStep: number;
  /** Of the run, and beside it of full fine-tuning where that was measured, or what plain fine-tuning would take where that was estimated. */
  memory: {method: MemoryRecord; full: MemoryRecord | null; plain?: number};
  /** What the model goes on with after some prompts, before training and after it. */
  samples: {prompt: string; before: string; after: string}[];
}

export interface BlockRecord {
  name: string;
  score: number | null;
  probability: number;
  stepsTrained: number;
}

export interface StepRecord {
  loss: number;
  learningRate: number;
  /** For each block whether this step trained it. */
  active: boolean[];
  peak: number;
}

export interface MemoryRecord {
  /** The most that any step held at once. */
  peak: number;
  /** What the optimizer holds between two steps, at most. */
  state: number;
}

/** The text of the report. */
export function reportPage(run: RunRecord): string {
  return pageOf(template, '"runRecord"', run);
}

export function writeReport(file: string, run: RunRecord): void {
  writePage(file, template, '"runRecord"', run);
}
