/* The five systems of integrators.py by hand: blocks of L trajectories, each number of them an array.
 * x is (count, n), count a multiple of L. Compiled by the benchmark. */
#include <math.h>
#include <string.h>
#define L 64
#define LANES for (int l = 0; l < L; l++)

static void load(double a[][L], const double *x, int n) {
  LANES for (int r = 0; r < n; r++) a[r][l] = x[l * n + r];
}

static void store(double a[][L], double *x, int n) {
  LANES for (int r = 0; r < n; r++) x[l * n + r] = a[r][l];
}

/* Verlet, drift first. */

void henon_heiles(double *x, long count, long steps, double h) {
  for (long b = 0; b < count / L; b++) {
    double a[4][L];
    load(a, x + b * L * 4, 4);
    for (long k = 0; k < steps; k++) LANES {
        double q1 = a[0][l] + 0.5 * h * a[2][l], q2 = a[1][l] + 0.5 * h * a[3][l];
        double p1 = a[2][l] - h * (q1 + 2 * q1 * q2), p2 = a[3][l] - h * (q2 + q1 * q1 - q2 * q2);
        a[0][l] = q1 + 0.5 * h * p1; a[1][l] = q2 + 0.5 * h * p2; a[2][l] = p1; a[3][l] = p2;
      }
    store(a, x + b * L * 4, 4);
  }
}

void kepler(double *x, long count, long steps, double h) {
  for (long b = 0; b < count / L; b++) {
    double a[4][L];
    load(a, x + b * L * 4, 4);
    for (long k = 0; k < steps; k++) LANES {
        double q1 = a[0][l] + 0.5 * h * a[2][l], q2 = a[1][l] + 0.5 * h * a[3][l];
        double r2 = q1 * q1 + q2 * q2, f = h / (r2 * sqrt(r2));
        double p1 = a[2][l] - f * q1, p2 = a[3][l] - f * q2;
        a[0][l] = q1 + 0.5 * h * p1; a[1][l] = q2 + 0.5 * h * p2; a[2][l] = p1; a[3][l] = p2;
      }
    store(a, x + b * L * 4, 4);
  }
}

/* 32 masses between fixed ends, V = d^2 / 2 + 0.3 d^4 / 4; half the lanes, for the cache. */
#define N 32
#undef L
#define L 32
static void load32(double a[][L], const double *x, int n) {
  LANES for (int r = 0; r < n; r++) a[r][l] = x[l * n + r];
}

static void store32(double a[][L], double *x, int n) {
  LANES for (int r = 0; r < n; r++) x[l * n + r] = a[r][l];
}

void fput(double *x, long count, long steps, double h) {
  for (long b = 0; b < count / L; b++) {
    double a[2 * N][L], f[L];
    load32(a, x + b * L * 2 * N, 2 * N);
    for (long k = 0; k < steps; k++) {
      for (int i = 0; i < N; i++) LANES a[i][l] += 0.5 * h * a[N + i][l];
      LANES { double d = a[0][l]; f[l] = d + 0.3 * d * d * d; }
      for (int i = 0; i < N - 1; i++) LANES {
          double d = a[i + 1][l] - a[i][l], g = d + 0.3 * d * d * d;
          a[N + i][l] += h * (g - f[l]);
          f[l] = g;
        }
      LANES { double d = -a[N - 1][l]; a[2 * N - 1][l] += h * (d + 0.3 * d * d * d - f[l]); }
      for (int i = 0; i < N; i++) LANES a[i][l] += 0.5 * h * a[N + i][l];
    }
    store32(a, x + b * L * 2 * N, 2 * N);
  }
}
#undef L
#define L 64

/* Gauss, two stages. The increments z of the stages are iterated until rounding stops every lane of the
 * block, from the polynomial through those of the last step. */

static inline void field(const double y[4], double v[4]) {
  double d = y[0] - y[1], c = cos(d), s = sin(d), e = 4 - 2 * c * c, i = 1 / e;
  double u = 2 * i * s * y[2] * y[3];
  double w = 4 * c * s * (y[2] * y[2] + 2 * y[3] * y[3] - 2 * c * y[2] * y[3]) * i * i;
  v[0] = 2 * i * (y[2] - c * y[3]);
  v[1] = 2 * i * (2 * y[3] - c * y[2]);
  v[2] = -(u - w + 2 * sin(y[0]));
  v[3] = -(w - u + sin(y[1]));
}

void double_pendulum(double *x, long count, long steps, double h) {
  const double t = sqrt(3.0) / 6, w = 0.5 * h;
  const double m[2][2] = {{0.5, 0.5 - 2 * t}, {0.5 + 2 * t, 0.5}};
  for (long b = 0; b < count / L; b++) {
    double y[4][L], z[2][4][L], last[L], size[L], still[L], change[L], sum[L];
    load(y, x + b * L * 4, 4);
    LANES {
      double a[4], v[4];
      for (int r = 0; r < 4; r++) a[r] = y[r][l];
      field(a, v);
      for (int r = 0; r < 4; r++) z[0][r][l] = z[1][r][l] = w * v[r];
    }
    for (long k = 0; k < steps; k++) {
      LANES {
        if (k > 0) for (int r = 0; r < 4; r++) {
          /* the line through both slopes, continued to the nodes of this step */
          double mean = 0.5 * (z[0][r][l] + z[1][r][l]), slope = (z[1][r][l] - z[0][r][l]) / (2 * t);
          z[0][r][l] = mean + slope * (1 - t);
          z[1][r][l] = mean + slope * (1 + t);
        }
        size[l] = fabs(y[0][l]) + fabs(y[1][l]) + fabs(y[2][l]) + fabs(y[3][l]);
        last[l] = 1e300;
        still[l] = 0;
      }
      int moving = L;
      for (int sweep = 0; moving > 0 && sweep < 100; sweep++) {
        LANES {
          change[l] = 0;
          sum[l] = 0;
          for (int i = 0; i < 2; i++) {
            double a[4], v[4];
            for (int r = 0; r < 4; r++) a[r] = y[r][l] + m[i][0] * z[0][r][l] + m[i][1] * z[1][r][l];
            field(a, v);
            for (int r = 0; r < 4; r++) {
              double new = w * v[r], far = fabs(new - z[i][r][l]);
              change[l] = change[l] > far ? change[l] : far;
              sum[l] += fabs(new);
              z[i][r][l] = still[l] > 0 ? z[i][r][l] : new;
            }
          }
          int calm = change[l] >= last[l] && change[l] <= 1.49e-10 * (sum[l] + 1e-5 * size[l]);
          still[l] = change[l] == 0 || calm ? 1 : still[l];
          last[l] = change[l];
        }
        moving = 0;
        LANES moving += still[l] == 0;
      }
      for (int r = 0; r < 4; r++) LANES y[r][l] += z[0][r][l] + z[1][r][l];
    }
    store(y, x + b * L * 4, 4);
  }
}

/* A free rigid body: rotation and angular velocity, turns about the axes 1, 2, 3, 2, 1. */
static inline void turn(double r[9], double p[3], int i, double angle) {
  int j = (i + 1) % 3, k = (i + 2) % 3;
  double c = cos(angle), s = sin(angle), u;
  for (int m = 0; m < 9; m += 3) {
    u = r[m + j]; r[m + j] = c * u + s * r[m + k]; r[m + k] = c * r[m + k] - s * u;
  }
  u = p[j]; p[j] = c * u + s * p[k]; p[k] = c * p[k] - s * u;
}

void rigid_body(double *x, long count, long steps, double h) {
  const double J[3] = {2, 1, 2.0 / 3};
  for (long b = 0; b < count / L; b++) {
    double a[12][L];
    load(a, x + b * L * 12, 12);
    for (int i = 0; i < 3; i++) LANES a[9 + i][l] *= J[i];
    for (long k = 0; k < steps; k++) LANES {
        double r[9], p[3];
        for (int i = 0; i < 9; i++) r[i] = a[i][l];
        for (int i = 0; i < 3; i++) p[i] = a[9 + i][l];
        turn(r, p, 0, 0.5 * h / J[0] * p[0]);
        turn(r, p, 1, 0.5 * h / J[1] * p[1]);
        turn(r, p, 2, h / J[2] * p[2]);
        turn(r, p, 1, 0.5 * h / J[1] * p[1]);
        turn(r, p, 0, 0.5 * h / J[0] * p[0]);
        for (int i = 0; i < 9; i++) a[i][l] = r[i];
        for (int i = 0; i < 3; i++) a[9 + i][l] = p[i];
      }
    for (int i = 0; i < 3; i++) LANES a[9 + i][l] /= J[i];
    store(a, x + b * L * 12, 12);
  }
}
