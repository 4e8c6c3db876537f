export {bandit} from './bandit';
export type {BanditOptions} from './bandit';
export {gradientNorms} from './gradient_norms';
export {renewedScores} from './renewed_scores';
export type {RenewedScoresOptions} from './renewed_scores';
export {scoresOrVisits} from './scores_or_visits';
export type {AdaptiveSampling, AdaptiveStart} from '../layer_sampling_options';
