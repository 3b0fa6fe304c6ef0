/* mark/tail.c - upper tails of the normal and the fair binomial distribution, in the log domain. */
#include <math.h>
#include <weightmark/mark.h>

static const double ln_2pi = 1.83787706640934548356, ln_2 = 0.693147180559945309417, per_ln_10 = 0.434294481903251827651;

/* Q(z) / phi(z) for z >= 4: Laplace's continued fraction 1/(z + 1/(z + 2/(z + 3/(z + ...)))), from the tail up. */
static double mills_ratio(double z)
{
    double t = z;
    for (int i = z < 10 ? 220 : 40; i > 0; i--) t = z + i / t;
    return 1 / t;
}

double wmk_log10_normal_tail(double z)
{
    if (isnan(z)) return z;
    if (z < -1) return per_ln_10 * log1p(-0.5 * erfc(-z * M_SQRT1_2));
    if (z < 4) return per_ln_10 * log(0.5 * erfc(z * M_SQRT1_2));
    if (z > 1e150) return -INFINITY;
    return per_ln_10 * (-0.5 * z * z - 0.5 * ln_2pi + log(mills_ratio(z)));
}

/* ln n! less Stirling's formula, 0.5 ln(2 pi n) + n ln n - n. */
static double stirling_error(double n)
{
    static const double exact[16] = {0,
                                     0.0810614667953272582196702635943823,
                                     0.0413406959554092940938220814071174,
                                     0.0276779256849983391487892927335336,
                                     0.0207906721037650931150445139560384,
                                     0.0166446911898211921631948653834733,
                                     0.0138761288230707479987320181443037,
                                     0.0118967099458917700950557241108037,
                                     0.0104112652619720964974785673093396,
                                     0.0092554621827127329177286366033192,
                                     0.0083305634333631411063835225863376,
                                     0.0075736754879518407949720242115940,
                                     0.0069428401072070616124463562325562,
                                     0.0064089941880042070684396310829837,
                                     0.0059513701127588475568244110085610,
                                     0.0055547335519628013710386899201103};
    if (n < 16) return exact[(int)n];
    double s = 1 / (n * n);
    return (1. / 12 - (1. / 360 - (1. / 1260 - (1. / 1680 - (1. / 1188 - 691. / 360360 * s) * s) * s) * s) * s) / n;
}

/* x ln(x / m) + m - x without cancellation near x = m. */
static double deviance(double x, double m)
{
    double d = x - m;
    if (fabs(d) >= 0.1 * (x + m)) return x * log(x / m) - d;
    double v = d / (x + m), sum = d * v, term = 2 * x * v, square = v * v;
    for (int j = 1; j < 100; j++) {
        term *= square;
        double next = sum + term / (2 * j + 1);
        if (next == sum) break;
        sum = next;
    }
    return sum;
}

/* ln P(Bin(n, 1/2) = k): the saddle-point form (Loader 2000), which loses no digits as differences of ln-gamma would. */
static double ln_binomial(double n, double k)
{
    if (k == n || k == 0) return -n * ln_2;
    double r = n - k, h = 0.5 * n;
    return stirling_error(n) - stirling_error(k) - stirling_error(r) - deviance(k, h) - deviance(r, h) + 0.5 * (log(n / (k * r)) - ln_2pi);
}

double wmk_log10_binomial_tail(uint32_t n, uint32_t k)
{
    if (k == 0) return 0;
    if (k > n) return -INFINITY;
    if (2 * (uint64_t)k <= n) /* 1 - P(at most k - 1), and by symmetry that is P(at least n - k + 1) */
        return per_ln_10 * log1p(-exp(wmk_log10_binomial_tail(n, n - k + 1) / per_ln_10));
    double sum = 1, term = 1; /* over the first and largest term */
    for (uint32_t i = k; i < n; i++) {
        term *= (double)(n - i) / (double)(i + 1);
        if (term < sum * 1e-18) break;
        sum += term;
    }
    return per_ln_10 * (ln_binomial(n, k) + log(sum));
}
