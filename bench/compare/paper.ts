/**
 * What the paper says (Li et al. 2024, arXiv 2405.18380) of LLaMA2-7B, to stand beside what was measured here: memory in GB, and its
 * claims about which is better.
 */

/** Table 4: memory of fine-tuning, by the method's name here. */
export const methodMemory: Readonly<Record<string, {gb: number; settings: string}>> = {
  full: {gb: 61, settings: ''},
  lora: {gb: 26, settings: 'r 8'},
  galore: {gb: 36, settings: 'r 8'},
  lisa: {gb: 24, settings: 'γ 2'},
  'owlore-full': {gb: 24, settings: 'γ 2'},
  owlore: {gb: 23, settings: 'γ 5, r 128'},
};

/** Table 2: memory by the number of blocks that are on. */
export const gammaMemory: Readonly<Record<string, Readonly<Record<number, number>>>> = {
  lisa: {1: 23, 2: 25, 4: 27, 8: 32, 12: 36},
  owlore: {1: 21, 2: 22, 4: 23, 8: 25, 12: 27},
};

/** That one row has a lower loss (in the paper: a higher accuracy) than another; rows by their names. */
export interface Claim {
  better: string;
  worse: string;
}

/** Rows of the stage `main`, then of `samplers`. */
export const claims: readonly Claim[] = [
  {better: 'OwLore', worse: 'LISA'},
  {better: 'OwLore', worse: 'GaLore'},
  {better: 'OwLore', worse: 'LoRA'},
  {better: 'OwLore', worse: 'Full fine-tuning'},
  {better: 'OwLore (full rank)', worse: 'LISA'},
  {better: 'LISA-D', worse: 'LISA'},
  {better: 'OwLore, OWS', worse: 'OwLore, uniform'},
  {better: 'OwLore, OWS', worse: 'OwLore, RM'},
  {better: 'OwLore, OWS', worse: 'OwLore, BI'},
];
